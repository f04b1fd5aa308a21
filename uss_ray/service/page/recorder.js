/* Runs in the thread of Web Audio: hands over what the microphone gives, as it is. */
registerProcessor('recorder', class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input.map(channel => channel.slice()));
    return true;
  }
});
