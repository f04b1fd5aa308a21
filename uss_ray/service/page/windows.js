/* An engine of the player: windows of PCM from a service, all stems in one answer. */
import './player.js';

const FIRST_SECONDS = 0.5; // little, so that sound begins at once
const WINDOW_SECONDS = 2;
const AHEAD_SECONDS = 4;
const MOST_SAMPLES = 1 << 23; // of a window, over all stems and channels
const KEPT_SAMPLES = 1 << 25;
const FULL_SCALE = 32767;
const RETRY_SECONDS = 2;
const SOON_SECONDS = 30; // who waits longer is not to be startled
const LOWEST_RATE = 8000; // of browsers
const STEMS_AT_ONCE = 40; // a proxy takes addresses of 4 KB

export const pause = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));
export const stemOf = url => decodeURIComponent(url.split('/stems/')[1]);

export class Windows extends UssRayPlayer.OneClock {
  cache = new Map();

  /** `load({ stems, start, frames })` gives samples of 16 bits: frame by frame, stem by stem, channel by channel. */
  constructor(data, onTrouble, { load, onBack }) {
    super('windows', data, onTrouble);
    Object.assign(this, { load, onBack });
  }

  /** What is heard, and what a mute or solo may bring in at once. */
  wanted() {
    const groups = new Set([...this.volumes.keys()].flatMap(lane => this.data.lanes[lane].groups));
    return this.data.lanes.flatMap((lane, place) =>
      (lane.files.length && (this.volumes.has(place) || lane.groups.some(group => groups.has(group))) ? [place] : []));
  }

  play(at) {
    this.halt(); // the first window is on its way for a while
    return super.play(at);
  }

  /** Give out windows until something else is wanted; resolved when the first sounds. */
  begin(at) {
    const turn = ++this.turn;
    const lanes = this.wanted();
    this.begun = new Set(lanes);
    return new Promise(resolve => {
      this.give(turn, lanes, at, resolve).catch(error => {
        if (turn !== this.turn) return;
        this.pause();
        for (const lane of lanes) this.onTrouble(lane, error.message.replace(/\.$/, ''));
        if (error.isPassing) this.wait(lanes);
      }).finally(resolve);
    });
  }

  /** Until what failed is there again, or something else is wanted. */
  async wait(lanes) {
    const { turn } = this, since = performance.now();
    for (let isThere = false; !isThere;) {
      await pause(RETRY_SECONDS);
      if (turn !== this.turn) return;
      isThere = await this.window(lanes, Math.round(this.at * this.data.sampleRate), 1).then(() => true, error => !error.isPassing);
    }
    if (turn === this.turn) this.onBack(performance.now() - since < 1000 * SOON_SECONDS);
  }

  async give(turn, lanes, at, onBegun) {
    const rate = this.data.sampleRate, total = Math.round(this.data.seconds * rate);
    const most = Math.floor(MOST_SAMPLES / (Math.max(1, lanes.length) * this.data.channels));
    let frame = Math.min(total, Math.round(at * rate)), isFirst = true;
    while (frame < total) {
      const frames = Math.min(total - frame, most, Math.ceil((isFirst ? FIRST_SECONDS : WINDOW_SECONDS) * rate));
      const sounds = await this.window(lanes, frame, frames);
      if (isFirst) await this.context.resume();
      if (turn !== this.turn) return;
      const earliest = this.context.currentTime + this.lead;
      if (isFirst || this.origin + frame / rate < earliest - this.lead) {
        // The first, or late: the clock of the sound waits for it.
        this.halt(earliest);
        this.at = frame / rate;
        this.origin = earliest - frame / rate;
        this.level(lanes);
        this.started = turn;
      }
      const when = this.origin + frame / rate;
      for (const { lane, buffer } of sounds) this.schedule(lane, buffer, { when });
      frame += frames;
      this.until = frame / rate;
      isFirst = false;
      onBegun();
      while (turn === this.turn && this.until - this.time() > AHEAD_SECONDS) await pause(0.1);
      if (turn !== this.turn) return;
    }
  }

  /** The sound of lanes in a window, or what has been there lately: a loop closes at once. */
  window(lanes, start, frames) {
    const key = [start, frames, ...lanes].join();
    if (!this.cache.has(key)) {
      const made = this.fetchWindow(lanes, start, frames);
      made.catch(() => this.cache.delete(key));
      this.cache.set(key, made);
      const kept = Math.max(4, KEPT_SAMPLES / (frames * lanes.length * this.data.channels));
      if (this.cache.size > kept) this.cache.delete(this.cache.keys().next().value);
    }
    return this.cache.get(key);
  }

  async fetchWindow(lanes, start, frames) {
    const { sampleRate } = this.data, from = start / sampleRate, to = (start + frames) / sampleRate, parts = [];
    const files = lanes.flatMap(lane => this.data.lanes[lane].files
      .filter(file => file.start < to && (file.end ?? Infinity) > from)
      .map(file => ({ lane, stem: stemOf(file.url) })));
    while (files.length) parts.push(this.sounds(files.splice(0, STEMS_AT_ONCE), start, frames));
    return (await Promise.all(parts)).flat();
  }

  async sounds(files, start, frames) {
    const { sampleRate, channels } = this.data, times = Math.ceil(LOWEST_RATE / sampleRate);
    const samples = new Int16Array(await this.load({ stems: files.map(file => file.stem), start, frames }));
    const step = files.length * channels, count = samples.length / step;
    return files.map(({ lane }, place) => {
      const buffer = this.context.createBuffer(channels, count * times, sampleRate * times);
      for (let channel = 0; channel < channels; channel += 1) {
        const values = buffer.getChannelData(channel);
        for (let to = 0; to < values.length; to += 1) {
          values[to] = samples[Math.floor(to / times) * step + place * channels + channel] / FULL_SCALE;
        }
      }
      return { lane, buffer };
    });
  }
}

export const pcm = (length, value) => Int16Array.from({ length }, (_, at) => FULL_SCALE * Math.max(-1, Math.min(1, value(at))));

/** Samples of 16 bits, in pieces, as a WAV file. */
export function wav(parts, { channels, rate }) {
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const words = [36 + bytes, 0x45564157, 0x20746d66, 16, 1 + (channels << 16), rate, 2 * rate * channels, 2 * channels + (16 << 16), 0x61746164, bytes];
  return new Blob(['RIFF', Uint32Array.from(words), ...parts], { type: 'audio/wav' }); // WAVE, fmt and data among them
}
