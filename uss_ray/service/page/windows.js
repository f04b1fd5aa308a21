/* An engine of the player that takes sound from a service: windows of PCM that hold all stems, on one clock of Web Audio.
 *
 * All stems of a window come in one answer and start at one instant, so they cannot drift, however long the recording. */
import './player.js';

const FIRST_SECONDS = 0.5; // little, so that sound begins at once
const WINDOW_SECONDS = 2;
const AHEAD_SECONDS = 4;
const MOST_SAMPLES = 1 << 21; // of a window, over all stems and channels
const KEPT_WINDOWS = 12;
const FULL_SCALE = 32767;

const pause = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));
export const stemOf = url => decodeURIComponent(url.split('/stems/')[1]);

export class Windows extends UssRayPlayer.OneClock {
  /** `load(stems, start, frames)` gives an Int16Array: frame by frame, stem by stem, channel by channel. */
  constructor(data, onTrouble, load) {
    super('windows', data, onTrouble);
    this.load = load;
    this.cache = new Map();
  }

  /** What is heard, and what a mute or solo may bring in at once: the rest of its mix. */
  wanted() {
    const groups = new Set([...this.volumes.keys()].flatMap(lane => this.data.lanes[lane].groups));
    return this.data.lanes.flatMap((lane, place) =>
      (lane.files.length && (this.volumes.has(place) || lane.groups.some(group => groups.has(group))) ? [place] : []));
  }

  play(at) {
    this.halt(); // the first window is on its way for a while
    return super.play(at);
  }

  /** Give out windows from a place on, until something else is wanted; resolved when the first is on its way. */
  begin(at) {
    const turn = ++this.turn;
    const lanes = this.wanted();
    this.begun = new Set(lanes);
    return new Promise(resolve => {
      this.give(turn, lanes, at, resolve).catch(error => {
        if (turn !== this.turn) return;
        this.pause();
        for (const lane of lanes) this.onTrouble(lane, error);
      }).finally(resolve);
    });
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
        // The first, or one that came too late: the clock of the sound waits for it.
        this.halt(earliest);
        this.at = frame / rate;
        this.origin = earliest - frame / rate;
        this.level(lanes);
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

  /** The sound of lanes in a window; what has been there lately is not asked for again, so a loop closes at once. */
  window(lanes, start, frames) {
    const key = [start, frames, ...lanes].join();
    if (!this.cache.has(key)) {
      const made = this.fetchWindow(lanes, start, frames);
      made.catch(() => this.cache.delete(key));
      this.cache.set(key, made);
      if (this.cache.size > KEPT_WINDOWS) this.cache.delete(this.cache.keys().next().value);
    }
    return this.cache.get(key);
  }

  async fetchWindow(lanes, start, frames) {
    const { sampleRate: rate, channels } = this.data;
    const from = start / rate, to = (start + frames) / rate;
    const files = lanes.flatMap(lane => this.data.lanes[lane].files
      .filter(file => file.start < to && (file.end ?? Infinity) > from)
      .map(file => ({ lane, stem: stemOf(file.url) })));
    if (!files.length) return [];
    const samples = await this.load(files.map(file => file.stem), start, frames);
    const step = files.length * channels, count = samples.length / step;
    return files.map(({ lane }, place) => {
      const buffer = this.context.createBuffer(channels, count, rate);
      for (let channel = 0; channel < channels; channel += 1) {
        const values = buffer.getChannelData(channel);
        for (let frame = 0, at = place * channels + channel; frame < count; frame += 1, at += step) {
          values[frame] = samples[at] / FULL_SCALE;
        }
      }
      return { lane, buffer };
    });
  }
}

/** What is heard, from its start to its end, as a WAV file of 16 bits. */
export async function mixed(data, volumes, load) {
  const files = [...volumes].flatMap(([lane, volume]) =>
    data.lanes[lane].files.map(file => ({ volume, stem: stemOf(file.url) })));
  const { channels, sampleRate: rate } = data, total = Math.round(data.seconds * rate);
  const parts = [], most = Math.max(1, Math.floor(MOST_SAMPLES / (files.length * channels)));
  for (let start = 0; start < total; start += most) {
    const samples = await load(files.map(file => file.stem), start, Math.min(most, total - start));
    const mix = new Int16Array(samples.length / files.length);
    for (let at = 0; at < mix.length; at += 1) {
      const frame = Math.floor(at / channels), channel = at % channels;
      let sum = 0;
      files.forEach(({ volume }, place) => { sum += volume * samples[(frame * files.length + place) * channels + channel]; });
      mix[at] = Math.max(-FULL_SCALE, Math.min(FULL_SCALE, Math.round(sum)));
    }
    parts.push(mix);
  }
  return wav(parts, { channels, rate });
}

/** Samples of 16 bits, in pieces, as a WAV file. */
export function wav(parts, { channels, rate }) {
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0), head = new DataView(new ArrayBuffer(44));
  const word = (at, text) => [...text].forEach((letter, place) => head.setUint8(at + place, letter.charCodeAt(0)));
  word(0, 'RIFF'); head.setUint32(4, 36 + bytes, true); word(8, 'WAVEfmt '); head.setUint32(16, 16, true);
  head.setUint16(20, 1, true); head.setUint16(22, channels, true); head.setUint32(24, rate, true);
  head.setUint32(28, rate * channels * 2, true); head.setUint16(32, channels * 2, true); head.setUint16(34, 16, true);
  word(36, 'data'); head.setUint32(40, bytes, true);
  return new Blob([head, ...parts], { type: 'audio/wav' });
}
