/* Engines of the player for pages whose sound lies in files beside them or within them.
 *
 * Two ways to play. Where the files may be fetched and fit into memory, they are decoded and scheduled on one clock of
 * Web Audio: every stem is where it belongs to the sample, so what cancels, cancels. Elsewhere (pages opened as files,
 * which may not fetch; hours of sound) media elements are kept in step with each other.
 */
(() => {
'use strict';
if (UssRayPlayer.engine) return;

const DECODED_BYTES = 384 * 2 ** 20;
const PATIENCE_MILLISECONDS = 2000; // with an element that does not come to its place
const SIGNED = /[?&](X-Amz-Signature|X-Goog-Signature|Signature|sig)=/i;
const SIGNED_WORDS = 'This page was opened by a signed address, which is good for the page alone: what lies beside it plays from a copy of its folder, or where the folder itself may be read.';

const why = error => `it is ${error?.code === 3 || error?.name === 'EncodingError' ? 'damaged' : 'not beside this page'}, or of a format this browser does not play`;

/** How a media element that is `drift` seconds ahead is brought back: at once if far away, by its rate if near. */
function correction(drift) {
  if (Math.abs(drift) > 0.12) return { seek: true, rate: 1 };
  if (Math.abs(drift) < 0.008) return { seek: false, rate: 1 };
  return { seek: false, rate: 1 - Math.max(-0.04, Math.min(0.04, drift)) };
}

const isInline = url => /^(data|blob):/.test(url);
const mayFetch = url => isInline(url) || /^https?:$/.test(location.protocol);

/** Whole files, decoded. */
class Decoded extends UssRayPlayer.OneClock {
  constructor(data, onTrouble) {
    super('decoded', data, onTrouble);
    this.buffers = new Map();
  }

  buffer(file) {
    if (!this.buffers.has(file.url)) {
      const load = async () => {
        const answer = await fetch(file.url);
        if (!answer.ok) throw new Error(`${answer.status}`);
        return this.context.decodeAudioData(await answer.arrayBuffer());
      };
      const made = load();
      made.catch(() => this.buffers.delete(file.url));
      this.buffers.set(file.url, made);
    }
    return this.buffers.get(file.url);
  }

  play(at) {
    // What is not there yet would be late, and the rest be heard from another place until then.
    if ([...this.volumes.keys()].some(lane => !this.begun.has(lane))) this.halt();
    return super.play(at);
  }

  /** Begin at a place, or where what sounds already will be then. */
  async begin(at) {
    const turn = ++this.turn;
    const wanted = [...this.volumes.keys()];
    const loaded = await Promise.all(wanted.map(lane => this.load(lane)));
    await this.context.resume();
    if (turn !== this.turn) return;
    const rate = this.context.sampleRate;
    const when = Math.ceil((this.context.currentTime + this.lead) * rate) / rate;
    const from = this.origin === undefined ? at : when - this.origin;
    this.halt(when);
    // All sources of one pass start at the same instant from the same place: what they hold stays together.
    const start = Math.round(from * rate) / rate;
    this.begun = new Set(wanted.filter((_, place) => loaded[place]));
    this.level(this.begun);
    wanted.forEach((lane, place) => (loaded[place] ?? []).forEach((buffer, number) => {
      const offset = start - this.data.lanes[lane].files[number].start;
      if (offset >= buffer.duration) return;
      this.schedule(lane, buffer, { when: when + Math.max(0, -offset), offset: Math.max(0, offset) });
    }));
    this.at = start;
    this.origin = when - start;
    this.started = turn;
  }

  async load(lane) {
    try {
      return await Promise.all(this.data.lanes[lane].files.map(file => this.buffer(file)));
    } catch (error) {
      this.onTrouble(lane, why(error));
      return null;
    }
  }
}

/** Media elements in step: the first that sounds is the clock, the others follow it. */
class Elements {
  constructor(data, onTrouble) {
    this.name = 'elements';
    this.isExact = false;
    this.words = `These players are kept in step to a few hundredths of a second, for ${location.protocol === 'file:'
      ? 'a page that is opened as a file may only play what lies beside it. From a web server they play exact to the sample'
      : 'they are too long to be held in memory'}.`;
    this.data = data;
    this.onTrouble = onTrouble;
    this.volumes = new Map();
    this.elements = new Map();
    this.at = 0;
    this.running = false;
    this.beginning = 0;
  }

  element(lane, file) {
    let element = this.elements.get(file.url);
    if (!element) {
      element = new Audio();
      element.preload = 'auto';
      element.preservesPitch = false;
      element.addEventListener('error', () => {
        this.elements.delete(file.url);
        this.onTrouble(lane, why(element.error));
      });
      for (const event of ['canplay', 'seeked']) element.addEventListener(event, () => this.begin());
      element.src = file.url;
      this.elements.set(file.url, element);
    }
    return element;
  }

  wanted(at) {
    const found = [];
    for (const [lane, volume] of this.volumes) {
      const files = this.data.lanes[lane].files;
      const file = files.findLast(one => one.start <= at && (one.end === undefined || at < one.end));
      if (file) found.push({ lane, volume, file, element: this.element(lane, file) });
    }
    return found;
  }

  time() {
    if (!this.running || this.beginning) return this.at;
    const now = performance.now(), leader = this.leader;
    if (leader && !leader.element.error) {
      const { element, file } = leader;
      if (!element.paused && !element.seeking && element.readyState > 2) this.at = file.start + element.currentTime;
      if (element.ended) this.at += (now - this.stamp) / 1000;
    } else {
      this.at += (now - this.stamp) / 1000;
    }
    this.stamp = now;
    return this.at;
  }

  get isWaiting() {
    const leader = this.leader?.element;
    return this.running && (this.beginning > 0 || Boolean(leader && leader.readyState < 3 && !leader.ended));
  }

  hear(volumes) {
    const isMore = [...volumes.keys()].some(lane => !this.volumes.has(lane));
    const at = this.time();
    this.volumes = volumes;
    if (this.running && isMore) this.play(at);
    else this.tick();
  }

  play(at) {
    this.at = at;
    this.running = true;
    this.leader = undefined;
    this.beginning = performance.now();
    for (const element of this.elements.values()) element.pause();
    this.tick(true);
  }

  /** All begin together: who is at the place first waits for the others. */
  begin() {
    if (!this.beginning || !this.running) return;
    const isReady = ({ element }) => element.error || (!element.seeking && element.readyState > 2);
    const isLate = performance.now() - this.beginning > PATIENCE_MILLISECONDS;
    if (!isLate && !this.wanted(this.at).every(isReady)) return;
    this.beginning = 0;
    this.stamp = performance.now();
    this.tick();
  }

  tick(isJump = false) {
    const at = this.time(), active = this.wanted(at);
    const kept = new Set(active.map(one => one.element));
    for (const element of this.elements.values()) if (!kept.has(element) && !element.paused) element.pause();
    this.leader = active.find(one => !one.element.error);
    for (const { element, file, volume } of active) {
      element.volume = Math.min(1, volume);
      const want = at - file.start, drift = element.currentTime - want;
      const isLeader = this.leader && element === this.leader.element;
      if (isJump || element.paused) {
        if (Math.abs(drift) > 0.005) element.currentTime = want;
      } else if (!isLeader && !element.seeking) {
        const { seek, rate } = correction(drift);
        if (seek) element.currentTime = want;
        element.playbackRate = rate;
      }
      if (isLeader) element.playbackRate = 1;
      if (this.running && !this.beginning && element.paused && !element.ended) element.play().catch(() => {});
    }
    this.begin();
  }

  pause() {
    this.at = this.time();
    this.running = false;
    this.beginning = 0;
    for (const element of this.elements.values()) element.pause();
  }

  seek(at) {
    if (this.running) {
      this.play(at);
    } else {
      this.at = at;
      this.tick(true);
    }
  }
}

function fits(data) {
  const files = data.lanes.flatMap(lane => lane.files);
  const bytes = data.lanes.length * data.seconds * data.sampleRate * data.channels * 4;
  return files.length > 0 && files.every(file => mayFetch(file.url)) && bytes <= DECODED_BYTES;
}

/** The level that a colour of a spectrogram stands for; pictures are read once. */
function level(picture, x, y) {
  if (!picture.naturalWidth) return [];
  const { naturalWidth: width, naturalHeight: height } = picture;
  if (!this.pixels) this.pixels = new WeakMap();
  if (!this.pixels.has(picture)) {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    this.pixels.set(picture, context.getImageData(0, 0, width, height).data);
  }
  this.colours ??= Uint8Array.from(atob(this.data.colours), letter => letter.charCodeAt(0));
  const pixels = this.pixels.get(picture), last = this.colours.length / 3 - 1;
  const at = 4 * (Math.min(height - 1, Math.floor(y * height)) * width + Math.min(width - 1, Math.floor(x * width)));
  let best = 0, least = Infinity;
  for (let place = 0; place <= last; place += 1) {
    const far = [0, 1, 2].reduce((sum, one) => sum + (pixels[at + one] - this.colours[3 * place + one]) ** 2, 0);
    if (far < least) [best, least] = [place, far];
  }
  const [low, high] = this.data.decibels;
  const text = `${(low + (high - low) * (best / last)).toFixed(0).replace('-', '−')} dB`;
  return [best ? text : `below ${text}`];
}

UssRayPlayer.engine = (data, onTrouble) => {
  const engine = new (fits(data) ? Decoded : Elements)(data, onTrouble);
  if (SIGNED.test(location.search)) engine.words = SIGNED_WORDS;
  engine.level = level;
  return engine;
};
UssRayPlayer.correction = correction;
})();
