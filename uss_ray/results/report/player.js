/* The player: one transport for a recording and all its stems. UssRayPlayer.mount brings markup of player.html.j2 to life.
 * Sound comes from an engine: `files.js`, or what the mount is given. A strict policy forbids styles: numbers are data attributes. */
(() => {
'use strict';
if (globalThis.UssRayPlayer) return;

const RECORDING = 0; // the place of the recording among the lanes
const LEAD_SECONDS = 0.06; // what a graph of many nodes needs to start at once
const TICK_MILLISECONDS = 100;
const MEL = 700; // the axis of frequencies, as in spectrogram.py

const part = (lane, name) => lane.querySelector(`:scope > .uss-row .uss-${name}`);
const clamp = (value, most = 1) => Math.min(most, Math.max(0, value));

function clock(seconds, decimals = 1) {
  const units = 10 ** decimals, at = Math.floor(Math.max(0, seconds) * units + 1e-6) / units;
  const hours = Math.floor(at / 3600), minutes = Math.floor(at / 60) % 60;
  const rest = (at % 60).toFixed(decimals).padStart(decimals && decimals + 3 || 2, '0');
  return `${hours ? `${hours}:${String(minutes).padStart(2, '0')}` : minutes}:${rest}`;
}

/** `moved` hears between which places in [0, 1] a pointer is drawn, `ended` where it ends, and whether it was drawn. */
function drag(element, moved, ended) {
  element.addEventListener('pointerdown', begun => {
    if (begun.button !== 0) return;
    const box = element.getBoundingClientRect(), place = ({ clientX }) => clamp((clientX - box.left) / box.width);
    const following = new AbortController(), { signal } = following;
    let isDrag = false;
    addEventListener('pointermove', event => {
      isDrag ||= Math.abs(event.clientX - begun.clientX) > 4;
      if (isDrag) moved(...[place(begun), place(event)].sort((a, b) => a - b));
    }, { signal });
    addEventListener('pointercancel', () => following.abort(), { signal });
    addEventListener('pointerup', event => {
      following.abort();
      ended?.(place(event), isDrag);
    }, { signal });
  });
}

/** Buffers on one clock, together to the sample; an engine's `begin(at)` brings those of the lanes in `begun`. */
class OneClock {
  isExact = true;
  words = 'All sounds play on one clock, exact to the sample.';
  lead = LEAD_SECONDS;
  volumes = new Map();
  gains = new Map(); // lane -> node
  begun = new Set();
  sources = [];
  at = 0;
  until = Infinity; // what is scheduled ends there
  turn = 0; // of begin
  started = 0; // the turn that sounds
  running = false;

  constructor(name, data, onTrouble) {
    Object.assign(this, { name, data, onTrouble });
  }

  prepare() {
    if (this.context) return;
    try {
      this.context = new AudioContext({ sampleRate: this.data.sampleRate });
    } catch {
      this.context = new AudioContext();
    }
    this.output = this.context.createGain();
    this.output.connect(this.context.destination);
  }

  time() {
    if (!this.running || this.origin === undefined) return this.at;
    return Math.max(this.at, Math.min(this.until, this.context.currentTime - this.origin));
  }

  get isWaiting() {
    return this.running && (this.started !== this.turn || (this.time() >= this.until && this.until < this.data.seconds));
  }

  hear(volumes) {
    this.volumes = volumes;
    if (!this.running) return;
    if ([...volumes.keys()].some(lane => !this.begun.has(lane))) this.begin(this.time());
    else for (const [lane, gain] of this.gains) gain.gain.setTargetAtTime(volumes.get(lane) ?? 0, this.context.currentTime, this.lead / 6);
  }

  play(at = this.at) {
    this.prepare();
    this.at = at;
    this.origin = undefined;
    this.running = true;
    return this.begin(at);
  }

  gain(lane) {
    if (!this.gains.has(lane)) {
      const gain = this.context.createGain();
      gain.connect(this.output);
      this.gains.set(lane, gain);
    }
    return this.gains.get(lane);
  }

  /** Without a fade. */
  level(lanes) {
    for (const lane of lanes) this.gain(lane).gain.value = this.volumes.get(lane) ?? 0;
  }

  schedule(lane, buffer, { when, offset = 0 }) {
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.gain(lane));
    source.start(when, offset);
    this.sources.push(source);
    source.onended = () => { this.sources = this.sources.filter(one => one !== source); };
  }

  halt(when = 0) {
    for (const source of this.sources) source.stop(when);
    this.sources = [];
  }

  pause() {
    this.at = this.time();
    this.turn += 1;
    this.running = false;
    this.origin = undefined;
    this.halt();
  }

  seek(at) {
    if (this.running) return this.play(at);
    this.at = at;
    return undefined;
  }
}

class Player {
  solo = new Set();
  muted = new Set();
  faders = new Map();
  failed = new Set();
  volume = 1;
  zoom = 1;
  loop = null;
  isLooping = false;

  constructor(root, { engine } = {}) {
    this.root = root;
    this.data = JSON.parse(root.querySelector('.uss-data').textContent);
    this.lanes = [...root.querySelectorAll('[data-lane]')];
    this.digits = this.data.lanes.flatMap((lane, place) => (place === RECORDING || lane.files.length ? [place] : []));
    this.group = this.data.adds[0] ?? this.data.lanes.find(lane => lane.groups.length)?.groups[0];
    this.engine = (engine ?? UssRayPlayer.engine)(this.data, (lane, why) => this.trouble(lane, why), isSoon => this.retry(isSoon));
    this.place();
    this.bind();
    this.refresh();
    this.say(this.digits.length > 1 || this.playable(RECORDING) ? this.engine.words : this.data.words.none, '.uss-mode');
    this.draw();
    this.timer = setInterval(() => this.tick(), TICK_MILLISECONDS);
  }

  members(group) {
    return this.data.lanes.flatMap((lane, place) =>
      place !== RECORDING && lane.groups.includes(group) && lane.files.length ? [place] : []);
  }

  audible() {
    const lanes = this.sounding().filter(lane => !this.failed.has(lane));
    return new Map(lanes.map(lane => [lane, this.volume * (this.faders.get(lane) ?? 1)]));
  }

  get hasRecording() {
    return this.playable(RECORDING) && !this.failed.has(RECORDING);
  }

  get isWhole() {
    return this.data.adds.includes(this.group);
  }

  sounding() {
    if (this.solo.size) return [...this.solo];
    const members = this.members(this.group);
    const isMix = this.muted.size > 0 || members.some(lane => (this.faders.get(lane) ?? 1) !== 1);
    if (isMix || !this.hasRecording || (this.isWhole && this.engine.isExact)) {
      return members.filter(lane => !this.muted.has(lane));
    }
    return [RECORDING];
  }

  names(lanes) {
    return [...lanes].map(lane => this.data.lanes[lane].name).join(', ');
  }

  describe() {
    if (this.solo.size) return this.names(this.solo);
    const rest = 'the separated sounds, without the rest of the recording';
    if (this.muted.size) return `${this.isWhole ? 'the recording' : rest}, without ${this.names(this.muted)}`;
    return this.hasRecording || this.isWhole ? 'the recording' : rest;
  }

  refresh() {
    this.engine.hear(this.audible());
    for (const element of this.lanes) {
      const lane = Number(element.dataset.lane);
      const states = { solo: this.solo.has(lane), mute: this.muted.has(lane), without: this.isWithout(lane) };
      for (const [name, is] of Object.entries(states)) Object.assign(part(element, name) ?? {}, { ariaPressed: is });
      element.classList.toggle('is-missing', this.failed.has(lane));
      element.classList.toggle('is-silent', this.solo.size > 0 ? lane !== RECORDING && !this.solo.has(lane) : this.muted.has(lane));
    }
    this.button('whole').ariaPressed = !this.solo.size && !this.muted.size;
    this.button('again').hidden = !this.failed.size;
    this.tell();
  }

  tell(waits = false) {
    this.say(`${waits ? 'Reading' : 'You hear'}: ${this.describe()}`, '.uss-say');
  }

  choose(lane) {
    const groups = this.data.lanes[lane].groups;
    if (groups.length && !groups.includes(this.group)) {
      this.group = groups[0];
      this.muted.clear();
    }
  }

  toggleSolo(lane) {
    if (!this.playable(lane)) return;
    if (lane === RECORDING) return void this.whole();
    if (!this.solo.delete(lane)) this.solo.add(lane);
    this.refresh();
  }

  toggleMute(lane, isAlone = false) {
    if (!this.playable(lane) || lane === RECORDING) return;
    const isOn = isAlone ? this.isWithout(lane) : this.muted.has(lane);
    this.choose(lane);
    this.solo.clear();
    if (isAlone) this.muted.clear();
    if (isOn) this.muted.delete(lane);
    else this.muted.add(lane);
    this.refresh();
  }

  isWithout(lane) {
    return !this.solo.size && this.muted.size === 1 && this.muted.has(lane);
  }

  whole() {
    this.solo.clear();
    this.muted.clear();
    this.refresh();
  }

  playable(lane) {
    return Boolean(this.data.lanes[lane]?.files.length);
  }

  trouble(lane, why) {
    if (this.failed.has(lane)) return;
    this.failed.add(lane);
    const { size } = this.failed;
    this.say(`${size > 3 ? `${size} sounds` : this.names(this.failed)} cannot be played: ${why}.`, '.uss-trouble');
    this.refresh();
  }

  /** What failed is there again, or may be. */
  retry(isPlayed = true) {
    this.failed.clear();
    this.say('', '.uss-trouble');
    this.refresh();
    if (isPlayed && !this.isPlaying) this.play();
  }

  get isPlaying() {
    return this.engine.running;
  }

  get now() {
    return clamp(this.engine.time(), this.data.seconds);
  }

  toggle() {
    return this.isPlaying ? this.pause() : this.play();
  }

  play() {
    if (this.failed.size && !this.audible().size) this.retry(false);
    for (const other of players) if (other !== this) other.pause();
    const at = this.now >= this.data.seconds - 0.01 ? 0 : this.now;
    this.engine.volumes = this.audible();
    const started = this.engine.play(at);
    this.draw();
    return started;
  }

  pause() {
    if (this.isPlaying) this.engine.pause();
    this.draw();
  }

  seek(at) {
    const done = this.engine.seek(clamp(at, this.data.seconds));
    this.draw();
    return done;
  }

  setLoop(start, end) {
    this.loop = end - start > 0.02 ? { start, end } : null;
    this.draw();
  }

  toggleLoop(value = !this.isLooping) {
    this.isLooping = value;
    this.button('loop').ariaPressed = value;
    this.draw();
  }

  event(step) {
    const shown = this.solo.size ? [...this.solo] : this.data.lanes.map((_, lane) => lane);
    const starts = [...new Set(shown.flatMap(lane => this.data.lanes[lane].spans.map(span => span[0])))].sort((a, b) => a - b);
    const found = step > 0 ? starts.find(start => start > this.now + 0.05) : starts.findLast(start => start < this.now - 0.3);
    if (found !== undefined) this.seek(found);
  }

  tick() {
    if (!this.root.isConnected) {
      this.engine.pause();
      clearInterval(this.timer);
      players.delete(this);
      return;
    }
    this.tell(this.engine.isWaiting);
    if (!this.isPlaying) return;
    this.engine.tick?.();
    const { start, end } = (this.isLooping && this.loop) || { start: 0, end: this.data.seconds };
    if (this.now < end - 0.005) return;
    if (this.isLooping) this.seek(start);
    else this.pause();
  }

  place() {
    for (const [name, property] of [['depth', '--depth'], ['left', 'left'], ['bottom', 'bottom']]) {
      for (const one of this.root.querySelectorAll(`[data-${name}]`)) one.style.setProperty(property, one.dataset[name]);
    }
  }

  button(name) {
    return this.root.querySelector(`.uss-${name}`);
  }

  say(text, where) {
    const place = this.root.querySelector(where);
    if (place && place.textContent !== text) place.textContent = text;
  }

  draw() {
    const at = this.now, { seconds } = this.data, places = { '--at': at, '--from': this.loop?.start, '--to': this.loop?.end };
    for (const [name, place] of Object.entries(places)) this.root.style.setProperty(name, (place ?? 0) / (seconds || 1));
    this.root.classList.toggle('is-playing', this.isPlaying);
    this.root.classList.toggle('has-loop', Boolean(this.loop));
    this.say(clock(at), '.uss-now');
    this.say(this.isPlaying ? '❚❚' : '▶', '.uss-play span');
    this.button('play').ariaLabel = this.isPlaying ? 'Pause' : 'Play';
    const ruler = this.button('ruler');
    ruler.ariaValueNow = Math.round(at);
    ruler.ariaValueText = `${clock(at, 0)} of ${clock(seconds, 0)}`;
    this.follow(at);
    cancelAnimationFrame(this.frame);
    if (this.isPlaying) this.frame = requestAnimationFrame(() => this.draw());
  }

  follow(at) {
    if (this.zoom === 1 || !this.isPlaying) return;
    const score = this.button('score'), track = this.button('ruler'), x = (at / this.data.seconds) * track.offsetWidth;
    if (x < score.scrollLeft || x > score.scrollLeft + score.clientWidth - track.offsetLeft - 20) score.scrollLeft = x - 20;
  }

  setZoom(zoom) {
    this.zoom = Math.max(1, Math.min(zoom, 64, 2 ** Math.ceil(Math.log2(this.data.seconds / 8))));
    this.root.style.setProperty('--zoom', this.zoom);
    this.say(`${this.zoom}×`, '.uss-zoom-is');
    const score = this.button('score'), track = this.button('ruler');
    score.scrollLeft = (this.now / this.data.seconds) * track.offsetWidth - (score.clientWidth - track.offsetLeft) / 2;
  }

  bind() {
    const on = (name, action) => this.button(name)?.addEventListener('click', action);
    on('play', () => this.toggle());
    on('loop', () => this.toggleLoop());
    on('whole', () => this.whole());
    on('again', () => this.retry());
    on('earlier', () => this.event(-1));
    on('later', () => this.event(1));
    on('zoom-in', () => this.setZoom(this.zoom * 2));
    on('zoom-out', () => this.setZoom(this.zoom / 2));
    on('fold', event => {
      const isOpen = event.currentTarget.ariaExpanded !== 'true';
      event.currentTarget.ariaExpanded = isOpen;
      for (const button of this.root.querySelectorAll('.uss-branch')) this.unfold(button, isOpen);
    });
    this.button('volume').addEventListener('input', event => {
      this.volume = Number(event.target.value);
      this.refresh();
    });
    for (const element of this.lanes) this.bindLane(element, Number(element.dataset.lane));
    this.shown = this.button('read');
    for (const track of this.root.querySelectorAll('.uss-track, .uss-ruler')) {
      this.bindTrack(track);
      this.bindReading(track);
    }
    const scope = this.root.dataset.keys === 'page' ? document : this.root;
    scope.addEventListener('keydown', event => this.key(event));
  }

  bindLane(element, lane) {
    const on = (name, action, event = 'click') => part(element, name)?.addEventListener(event, action);
    on('solo', () => this.toggleSolo(lane));
    on('mute', () => this.toggleMute(lane));
    on('without', () => this.toggleMute(lane, true));
    on('branch', event => this.unfold(event.currentTarget));
    on('fader', event => {
      this.faders.set(lane, Number(event.target.value));
      if (!this.solo.size) this.choose(lane);
      this.refresh();
    }, 'input');
    for (const chip of element.querySelectorAll(':scope > .uss-row [data-start]')) {
      chip.addEventListener('click', () => {
        const start = Number(chip.dataset.start);
        this.setLoop(start, Number(chip.dataset.end));
        this.seek(start);
        if (!this.isPlaying) this.play();
      });
    }
  }

  unfold(button, isOpen = button.ariaExpanded !== 'true') {
    button.ariaExpanded = isOpen;
    document.getElementById(button.getAttribute('aria-controls')).hidden = !isOpen;
  }

  bindTrack(track) {
    const { seconds } = this.data;
    drag(track, (from, to) => this.setLoop(from * seconds, to * seconds), (place, isDrag) => {
      if (!isDrag) this.setLoop(0, 0);
      this.seek(isDrag && this.loop ? this.loop.start : place * seconds);
      if (isDrag) this.toggleLoop(true);
    });
  }

  bindReading(track) {
    track.addEventListener('pointermove', event => {
      if (event.pointerType === 'touch') return;
      this.shown.textContent = this.reading(track, event);
      this.shown.hidden = false;
      const { width, height } = this.shown.getBoundingClientRect();
      this.shown.style.left = `${Math.min(event.clientX + 14, document.documentElement.clientWidth - width - 4)}px`;
      this.shown.style.top = `${Math.max(4, event.clientY - height - 10)}px`;
    });
    track.addEventListener('pointerleave', () => { this.shown.hidden = true; });
  }

  reading(track, { clientX, clientY }) {
    const { seconds, topHz, lanes } = this.data, box = track.getBoundingClientRect();
    const x = clamp((clientX - box.left) / box.width), at = x * seconds, told = [clock(at, seconds < 10 ? 2 : 1)];
    const picture = track.querySelector('.uss-picture:not(.uss-wave)'), seen = picture?.getBoundingClientRect();
    if (seen && clientY >= seen.top && clientY < seen.bottom) {
      const y = (clientY - seen.top) / seen.height, hertz = MEL * ((1 + topHz / MEL) ** (1 - y) - 1);
      told.push(hertz < 1000 ? `${hertz.toFixed(0)} Hz` : `${(hertz / 1000).toFixed(hertz < 10000 ? 2 : 1)} kHz`);
      told.push(...(this.engine.level?.(picture, x, y) ?? []));
    }
    const [letters, step] = lanes[track.closest('[data-lane]')?.dataset.lane ?? RECORDING].probs;
    const letter = letters[Math.floor(at / step)];
    if (letter && track.matches('.uss-track')) told.push(`p ${((atob(`${letter}AAA`).charCodeAt(0) >> 2) / 63).toFixed(2)}`);
    return told.join(' · ');
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || !this.root.isConnected) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest('input, textarea, select, [contenteditable]')) return;
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code)?.[1];
    const isButton = target.closest('button, a, summary') && (event.key === ' ' || event.key === 'Enter');
    const step = this.data.seconds < 60 ? 1 : 5;
    const actions = {
      ' ': () => this.toggle(),
      ArrowLeft: () => this.seek(this.now - step),
      ArrowRight: () => this.seek(this.now + step),
      Home: () => this.seek(0),
      End: () => this.seek(this.data.seconds),
      l: () => this.toggleLoop(),
      ',': () => this.event(-1),
      '.': () => this.event(1),
      Escape: () => {
        this.setLoop(0, 0);
        this.whole();
      },
    };
    const action = digit === '0' ? () => this.whole()
      : digit ? () => (event.shiftKey ? this.toggleMute(this.digits[digit]) : this.toggleSolo(this.digits[digit]))
      : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || isButton) return;
    event.preventDefault();
    action();
  }
}

const players = new Set();

globalThis.UssRayPlayer = {
  mount(root, options) {
    const player = new Player(root, options);
    players.add(player);
    return player;
  },
  OneClock,
  players,
  clock,
  drag,
};
})();
