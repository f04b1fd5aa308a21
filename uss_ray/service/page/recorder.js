/* In the thread of Web Audio. */
registerProcessor('recorder', class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input.map(channel => channel.slice()));
    return true;
  }
});
