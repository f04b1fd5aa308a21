/* The player of USS-Ray: one transport for a recording and all its stems.
 *
 * No dependency, no build step. A page puts the file into a <script>, or imports it for its effect as an ES module, and
 * calls UssRayPlayer.mount(element) for the markup that player.html.j2 makes: once for each player.
 *
 * Two ways to play, with the same buttons. Where the files may be fetched and fit into memory, they are decoded and
 * scheduled on one clock of Web Audio: every stem is where it belongs to the sample, so what cancels, cancels. Elsewhere
 * (pages opened as files, which may not fetch; hours of sound) media elements are kept in step with each other. Whoever
 * mounts a player may bring a third way, an engine of its own with the same methods.
 *
 * What hangs on numbers (places of ticks, depth in the tree) is in data attributes: a strict policy forbids style ones.
 */
(() => {
  'use strict';
  if (globalThis.UssRayPlayer) return;

  const DECODED_BYTES = 384 * 2 ** 20;
  const RECORDING = 0; // the place of the recording among the lanes
  const LEAD_SECONDS = 0.06; // what a graph of many nodes needs to start at once
  const TICK_MILLISECONDS = 100;
  const SIGNED = /[?&](X-Amz-Signature|X-Goog-Signature|Signature|sig)=/i;
  const MEL = 700; // the axis of frequencies is log(1 + f / 700), as in spectrogram.py
  const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const PATIENCE_MILLISECONDS = 2000; // with an element that does not come to its place

  /** How a media element that is `drift` seconds ahead is brought back: at once if far away, by its rate if near. */
  function correction(drift) {
    if (Math.abs(drift) > 0.12) return { seek: true, rate: 1 };
    if (Math.abs(drift) < 0.008) return { seek: false, rate: 1 };
    return { seek: false, rate: 1 - Math.max(-0.04, Math.min(0.04, drift)) };
  }

  function clock(seconds, decimals = 1) {
    const units = Math.floor(Math.max(0, seconds) * 10 ** decimals + 1e-6);
    const whole = Math.floor(units / 10 ** decimals), rest = units % 10 ** decimals;
    const two = number => String(number).padStart(2, '0');
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    const text = hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
    return decimals ? `${text}.${String(rest).padStart(decimals, '0')}` : text;
  }

  const isInline = url => /^(data|blob):/.test(url);
  const mayFetch = url => isInline(url) || /^https?:$/.test(location.protocol);

  /** Sound on one clock of Web Audio: what the engines that schedule buffers share. They stay together to the sample.
   *
   * An engine says in `begin(at)` where its buffers come from, and keeps in `begun` which lanes it has thought of. */
  class OneClock {
    constructor(name, data, onTrouble) {
      Object.assign(this, { name, data, onTrouble, isExact: true, lead: LEAD_SECONDS });
      this.volumes = new Map();
      this.gains = new Map(); // lane -> node
      this.begun = new Set();
      this.sources = [];
      this.at = 0;
      this.until = Infinity; // what is scheduled ends there
      this.turn = 0; // of begin: an older one has nothing more to say
      this.running = false;
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

    hear(volumes) {
      this.volumes = volumes;
      if (!this.running) return undefined;
      if ([...volumes.keys()].some(lane => !this.begun.has(lane))) return this.begin(this.time());
      for (const [lane, gain] of this.gains) {
        gain.gain.setTargetAtTime(volumes.get(lane) ?? 0, this.context.currentTime, this.lead / 6);
      }
      return undefined;
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

    /** Bring lanes to their volumes at once: before the first of their buffers. */
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

    tick() {}

    spread() {
      return 0;
    }
  }

  /** Whole files, decoded. */
  class Decoded extends OneClock {
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
        this.buffers.set(file.url, load());
      }
      return this.buffers.get(file.url);
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
    }

    async load(lane) {
      try {
        return await Promise.all(this.data.lanes[lane].files.map(file => this.buffer(file)));
      } catch (error) {
        this.onTrouble(lane, error);
        return null;
      }
    }
  }

  /** Media elements in step: the first that sounds is the clock, the others follow it. */
  class Elements {
    constructor(data, onTrouble) {
      this.name = 'elements';
      this.isExact = false;
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
        element.addEventListener('error', () => this.onTrouble(lane, element.error));
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

    spread() {
      const places = this.wanted(this.at).map(({ file, element }) => file.start + element.currentTime);
      return places.length ? Math.max(...places) - Math.min(...places) : 0;
    }
  }

  class Player {
    constructor(root, { engine } = {}) {
      this.root = root;
      this.data = JSON.parse(root.querySelector('.uss-data').textContent);
      this.lanes = [...root.querySelectorAll('[data-lane]')];
      // Keys 1 to 9 are the first nine that sound, as in player.py.
      this.digits = this.data.lanes.flatMap((lane, place) => (place === RECORDING || lane.files.length ? [place] : []));
      this.solo = new Set();
      this.muted = new Set();
      this.volume = 1;
      this.faders = new Map();
      this.failed = new Set();
      this.loop = null;
      this.isLooping = false;
      this.zoom = 1;
      this.group = this.data.adds[0] ?? this.data.lanes.find(lane => lane.groups.length)?.groups[0];
      const onTrouble = (lane, error) => this.trouble(lane, error);
      this.engine = engine ? engine(this.data, onTrouble) : new (this.fits() ? Decoded : Elements)(this.data, onTrouble);
      this.place();
      this.bind();
      this.refresh();
      this.say(this.mode(), '.uss-mode');
      this.draw();
      this.timer = setInterval(() => this.tick(), TICK_MILLISECONDS);
    }

    fits() {
      const files = this.data.lanes.flatMap(lane => lane.files);
      const bytes = this.data.lanes.length * this.data.seconds * this.data.sampleRate * this.data.channels * 4;
      return files.length > 0 && files.every(file => mayFetch(file.url)) && bytes <= DECODED_BYTES;
    }

    mode() {
      if (!this.data.lanes.some(lane => lane.files.length)) return this.data.words.none;
      if (SIGNED.test(location.search)) return 'This page was opened by a signed address, which is good for the page alone: what lies beside it plays from a copy of its folder, or where the folder itself may be read.';
      if (this.engine.isExact) return 'All sounds play on one clock, exact to the sample.';
      const why = location.protocol === 'file:'
        ? 'a page that is opened as a file may only play what lies beside it. From a web server they play exact to the sample'
        : 'they are too long to be held in memory';
      return `These players are kept in step to a few hundredths of a second, for ${why}.`;
    }

    /* what is heard */

    residual(group) {
      return this.data.lanes.findIndex(lane => lane.residual && lane.groups.includes(group));
    }

    members(group) {
      return this.data.lanes.flatMap((lane, place) =>
        place !== RECORDING && lane.groups.includes(group) && lane.files.length ? [place] : []);
    }

    volumeOf(lane) {
      return this.volume * (this.faders.get(lane) ?? 1);
    }

    audible() {
      const lanes = this.sounding().filter(lane => !this.failed.has(lane));
      return new Map(lanes.map(lane => [lane, this.volumeOf(lane)]));
    }

    sounding() {
      if (this.solo.size) return [...this.solo];
      const members = this.members(this.group);
      const isMix = this.muted.size > 0 || members.some(lane => (this.faders.get(lane) ?? 1) !== 1);
      const hasRecording = this.data.lanes[RECORDING].files.length > 0 && !this.failed.has(RECORDING);
      const isWhole = this.data.adds.includes(this.group);
      if (isMix || !hasRecording || (isWhole && this.engine.isExact)) {
        return members.filter(lane => !this.muted.has(lane));
      }
      return [RECORDING];
    }

    describe() {
      const names = lanes => [...lanes].map(lane => this.data.lanes[lane].name).join(', ');
      if (this.solo.size) return `You hear: ${names(this.solo)}`;
      const isWhole = this.data.adds.includes(this.group);
      const whole = isWhole ? 'the recording' : 'the separated sounds, without the rest of the recording';
      if (this.muted.size) return `You hear: ${whole}, without ${names(this.muted)}`;
      const hasRecording = this.data.lanes[RECORDING].files.length > 0 && !this.failed.has(RECORDING);
      return hasRecording || isWhole ? 'You hear: the recording' : `You hear: ${whole}`;
    }

    refresh() {
      this.engine.hear(this.audible());
      for (const element of this.lanes) {
        const lane = Number(element.dataset.lane);
        const press = (name, value) => element.querySelector(`:scope > .uss-row .uss-${name}`)
          ?.setAttribute('aria-pressed', String(value));
        press('solo', this.solo.has(lane));
        press('mute', this.muted.has(lane));
        press('without', !this.solo.size && this.muted.size === 1 && this.muted.has(lane));
        element.classList.toggle('is-silent', this.solo.size > 0 ? lane !== RECORDING && !this.solo.has(lane) : this.muted.has(lane));
      }
      this.button('whole')?.setAttribute('aria-pressed', String(!this.solo.size && !this.muted.size));
      this.say(this.describe(), '.uss-say');
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

    toggleMute(lane) {
      if (!this.playable(lane) || lane === RECORDING) return;
      this.choose(lane);
      this.solo.clear();
      if (!this.muted.delete(lane)) this.muted.add(lane);
      this.refresh();
    }

    without(lane) {
      const isOn = !this.solo.size && this.muted.size === 1 && this.muted.has(lane);
      if (!this.playable(lane)) return;
      this.choose(lane);
      this.solo.clear();
      this.muted.clear();
      if (!isOn) this.muted.add(lane);
      this.refresh();
    }

    whole() {
      this.solo.clear();
      this.muted.clear();
      this.refresh();
    }

    playable(lane) {
      return Boolean(this.data.lanes[lane]?.files.length);
    }

    trouble(lane, error) {
      if (this.failed.has(lane)) return;
      this.failed.add(lane);
      const kind = error?.code === 3 || error?.name === 'EncodingError' ? 'it is damaged, or of a format this browser does not play' : 'it is not beside this page, or of a format this browser does not play';
      this.say(`${this.data.lanes[lane].name} cannot be played: ${kind}.`, '.uss-trouble');
      this.lanes.find(element => Number(element.dataset.lane) === lane)?.classList.add('is-missing');
      this.refresh();
    }

    /* the transport */

    get isPlaying() {
      return this.engine.running;
    }

    get now() {
      return Math.min(this.data.seconds, Math.max(0, this.engine.time()));
    }

    toggle() {
      return this.isPlaying ? this.pause() : this.play();
    }

    play() {
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
      const done = this.engine.seek(Math.min(this.data.seconds, Math.max(0, at)));
      this.draw();
      return done;
    }

    setLoop(start, end) {
      this.loop = end - start > 0.02 ? { start, end } : null;
      this.draw();
    }

    toggleLoop(value = !this.isLooping) {
      this.isLooping = value;
      this.button('loop').setAttribute('aria-pressed', String(value));
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
        this.pause();
        clearInterval(this.timer);
        players.delete(this);
        return;
      }
      if (!this.isPlaying) return;
      this.engine.tick();
      const end = this.isLooping && this.loop ? this.loop.end : this.data.seconds;
      const start = this.isLooping && this.loop ? this.loop.start : 0;
      if (this.now >= end - 0.005 && (this.isLooping || this.now >= this.data.seconds - 0.005)) {
        if (this.isLooping) this.seek(start);
        else this.pause();
      }
    }

    /* what is seen */

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
      const at = this.now, { seconds } = this.data;
      this.root.style.setProperty('--at', seconds ? at / seconds : 0);
      this.root.style.setProperty('--from', this.loop ? this.loop.start / seconds : 0);
      this.root.style.setProperty('--to', this.loop ? this.loop.end / seconds : 0);
      this.root.classList.toggle('is-playing', this.isPlaying);
      this.root.classList.toggle('has-loop', Boolean(this.loop));
      this.say(clock(at), '.uss-now');
      const play = this.button('play');
      const word = this.isPlaying ? 'Pause' : 'Play';
      if (play.getAttribute('aria-label') !== word) {
        play.setAttribute('aria-label', word);
        play.querySelector('span').textContent = this.isPlaying ? '❚❚' : '▶';
      }
      const ruler = this.button('ruler');
      const told = String(Math.round(at));
      if (ruler.getAttribute('aria-valuenow') !== told) {
        ruler.setAttribute('aria-valuenow', told);
        ruler.setAttribute('aria-valuetext', `${clock(at, 0)} of ${clock(seconds, 0)}`);
      }
      this.follow(at);
      if (this.isPlaying && !this.frame) {
        this.frame = requestAnimationFrame(() => {
          this.frame = 0;
          this.draw();
        });
      }
    }

    follow(at) {
      if (this.zoom === 1 || !this.isPlaying) return;
      const score = this.button('score'), track = this.button('ruler');
      const x = track.offsetLeft + (at / this.data.seconds) * track.offsetWidth;
      if (x < score.scrollLeft + track.offsetLeft || x > score.scrollLeft + score.clientWidth - 20) {
        score.scrollLeft = x - track.offsetLeft - 20;
      }
    }

    setZoom(zoom) {
      const most = Math.max(1, 2 ** Math.ceil(Math.log2(this.data.seconds / 8)));
      this.zoom = Math.min(Math.min(64, most), Math.max(1, zoom));
      this.root.style.setProperty('--zoom', this.zoom);
      this.say(`${this.zoom}×`, '.uss-zoom-is');
      const score = this.button('score'), track = this.button('ruler');
      score.scrollLeft = (this.now / this.data.seconds) * track.offsetWidth - (score.clientWidth - track.offsetLeft) / 2;
    }

    /* what is done */

    bind() {
      const on = (name, action) => this.button(name)?.addEventListener('click', action);
      on('play', () => this.toggle());
      on('loop', () => this.toggleLoop());
      on('whole', () => this.whole());
      on('earlier', () => this.event(-1));
      on('later', () => this.event(1));
      on('zoom-in', () => this.setZoom(this.zoom * 2));
      on('zoom-out', () => this.setZoom(this.zoom / 2));
      on('fold', event => {
        const isOpen = event.currentTarget.getAttribute('aria-expanded') !== 'true';
        event.currentTarget.setAttribute('aria-expanded', String(isOpen));
        for (const button of this.root.querySelectorAll('.uss-branch')) this.unfold(button, isOpen);
      });
      this.button('volume')?.addEventListener('input', event => {
        this.volume = Number(event.target.value);
        this.refresh();
      });
      for (const element of this.lanes) this.bindLane(element, Number(element.dataset.lane));
      for (const track of this.root.querySelectorAll('.uss-track, .uss-ruler')) this.bindTrack(track);
      this.bindReading();
      const scope = this.root.dataset.keys === 'page' ? document : this.root;
      scope.addEventListener('keydown', event => this.key(event));
    }

    bindLane(element, lane) {
      const within = name => element.querySelector(`:scope > .uss-row .uss-${name}`);
      within('solo')?.addEventListener('click', () => this.toggleSolo(lane));
      within('mute')?.addEventListener('click', () => this.toggleMute(lane));
      within('without')?.addEventListener('click', () => this.without(lane));
      within('branch')?.addEventListener('click', event => this.unfold(event.currentTarget));
      within('fader')?.addEventListener('input', event => {
        this.faders.set(lane, Number(event.target.value));
        if (!this.solo.size) this.choose(lane);
        this.refresh();
      });
      for (const chip of element.querySelectorAll(':scope > .uss-row [data-start]')) {
        chip.addEventListener('click', () => {
          const start = Number(chip.dataset.start);
          this.setLoop(start, Number(chip.dataset.end));
          this.seek(start);
          if (!this.isPlaying) this.play();
        });
      }
    }

    unfold(button, isOpen = button.getAttribute('aria-expanded') !== 'true') {
      button.setAttribute('aria-expanded', String(isOpen));
      this.root.querySelector(`#${CSS.escape(button.getAttribute('aria-controls'))}`).hidden = !isOpen;
    }

    bindTrack(track) {
      const place = event => {
        const box = track.getBoundingClientRect();
        return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.data.seconds;
      };
      track.addEventListener('pointerdown', event => {
        if (event.button !== 0) return;
        const from = place(event), x = event.clientX;
        let isDrag = false;
        const move = moved => {
          isDrag ||= Math.abs(moved.clientX - x) > 4;
          if (isDrag) this.setLoop(Math.min(from, place(moved)), Math.max(from, place(moved)));
        };
        const end = ended => {
          removeEventListener('pointermove', move);
          removeEventListener('pointerup', end);
          removeEventListener('pointercancel', end);
          if (ended.type === 'pointercancel') return;
          if (!isDrag) this.setLoop(0, 0);
          this.seek(isDrag && this.loop ? this.loop.start : place(ended));
          if (isDrag) this.toggleLoop(true);
        };
        addEventListener('pointermove', move);
        addEventListener('pointerup', end);
        addEventListener('pointercancel', end);
      });
    }

    /** What lies under the pointer is read out: time, frequency, level and probability. */
    bindReading() {
      const shown = Object.assign(document.createElement('div'), { className: 'uss-read', hidden: true });
      shown.setAttribute('aria-hidden', 'true');
      this.root.append(shown);
      for (const track of this.root.querySelectorAll('.uss-track, .uss-ruler')) {
        track.addEventListener('pointermove', event => {
          if (event.pointerType === 'touch') return;
          shown.textContent = this.reading(track, event);
          shown.hidden = false;
          const width = document.documentElement.clientWidth, box = shown.getBoundingClientRect();
          shown.style.left = `${Math.min(event.clientX + 14, width - box.width - 4)}px`;
          shown.style.top = `${Math.max(4, event.clientY - box.height - 10)}px`;
        });
        for (const away of ['pointerleave', 'pointercancel']) track.addEventListener(away, () => { shown.hidden = true; });
      }
    }

    reading(track, { clientX, clientY }) {
      const box = track.getBoundingClientRect();
      const x = Math.min(1, Math.max(0, (clientX - box.left) / box.width));
      const at = x * this.data.seconds;
      const lane = Number(track.closest('[data-lane]')?.dataset.lane ?? RECORDING);
      const told = [clock(at, this.data.seconds < 10 ? 2 : 1)];
      const picture = track.querySelector('.uss-picture:not(.uss-wave)'), seen = picture?.getBoundingClientRect();
      if (seen && clientY >= seen.top && clientY < seen.bottom) {
        const y = (clientY - seen.top) / seen.height;
        const hertz = MEL * ((1 + this.data.topHz / MEL) ** (1 - y) - 1);
        told.push(hertz < 1000 ? `${hertz.toFixed(0)} Hz` : `${(hertz / 1000).toFixed(hertz < 10000 ? 2 : 1)} kHz`);
        const level = this.level(picture, x, y);
        if (level !== undefined) told.push(level);
      }
      const [letters, step] = this.data.lanes[lane].probs;
      const letter = step ? letters[Math.floor(at / step)] : undefined;
      if (letter && track.matches('.uss-track')) told.push(`p ${(LETTERS.indexOf(letter) / (LETTERS.length - 1)).toFixed(2)}`);
      return told.join(' · ');
    }

    /** The level that a colour stands for; the picture is read once. */
    level(picture, x, y) {
      if (!picture.naturalWidth || !this.data.decibels) return undefined;
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
      return best ? text : `below ${text}`;
    }

    key(event) {
      if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || !this.root.isConnected) return;
      const target = event.target instanceof Element ? event.target : document.body;
      if (target.closest('input, textarea, select, [contenteditable]')) return;
      const digit = /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
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
    /** Bring the markup of a player to life; the player is given back. */
    mount(root, options) {
      const player = new Player(root, options);
      players.add(player);
      return player;
    },
    OneClock,
    players,
    correction,
    clock,
  };
})();
