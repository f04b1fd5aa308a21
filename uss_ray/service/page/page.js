/* The page of a service: a recording goes in, its sounds are found, ticked, separated and heard. */
import './player.js';
import { draw } from './picture.js';
import { Windows, mixed, wav } from './windows.js';

const KEPT_SECONDS = 3600; // or less, where a service says so
const PATIENCE = 6; // times that a busy service is asked again
const DECODED_BYTES = 200e6;
const $ = id => document.getElementById(id);
const on = (id, event, action) => $(id).addEventListener(event, action);
const show = (id, is = true) => { $(id).hidden = !is; };
const say = text => { $('state').textContent = text; };
const make = (name, facts = {}, ...inner) => {
  const one = document.createElementNS(/^(svg|path)$/.test(name) ? 'http://www.w3.org/2000/svg' : 'http://www.w3.org/1999/xhtml', name);
  for (const [key, value] of Object.entries(facts)) one.setAttribute(key, value);
  one.append(...inner);
  return one;
};
const wait = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));
const state = { recording: null, name: '', sound: null, nodes: [], ticked: new Set(), result: null, player: null, sending: null };
let token = sessionStorage.getItem('uss-token') ?? '';

/* the service */

function letIn() {
  show('door');
  $('token').focus();
  return new Promise(resolve => on('door', 'submit', event => {
    event.preventDefault();
    token = $('token').value.trim();
    sessionStorage.setItem('uss-token', token);
    show('door', false);
    resolve();
  }));
}

/** One request; `onSent` hears which part of the body has gone. */
function once(path, { method = 'GET', body, type = 'blob', onSent } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.responseType = type;
    if (token) request.setRequestHeader('authorization', `Bearer ${token}`);
    if (onSent) request.upload.onprogress = event => onSent(event.loaded / event.total);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new Error('The service cannot be reached.'));
    request.onabort = () => reject(new DOMException('Stopped.', 'AbortError'));
    if (body) state.sending = request;
    request.send(body);
  });
}

async function call(path, options = {}) {
  for (let tries = 0; ; tries += 1) {
    const answer = await once(path, options);
    if (answer.status < 400) return answer.response;
    if (answer.status === 401) {
      await letIn();
    } else if ([429, 503].includes(answer.status) && tries < PATIENCE) {
      const seconds = Number(answer.getResponseHeader('retry-after')) || 1;
      if (options.body) say(`The service is busy; asked again in ${seconds} s.`);
      await wait(seconds);
    } else {
      const text = await new Response(answer.response).text();
      let said = {};
      try { said = JSON.parse(text); } catch { /* an edge answers as it likes */ }
      throw new Error(said.detail ?? `The service answered ${answer.status}.`);
    }
  }
}

const ask = async (path, options) => JSON.parse(await (await call(path, options)).text());

async function send(path, { body, doing, take = ask }) {
  show('progress');
  show('stop');
  const onSent = part => {
    $('progress').value = part;
    say(part < 1 ? `Sending ${state.name}: ${Math.round(100 * part)} %` : doing);
    if (part === 1) $('progress').removeAttribute('value');
  };
  try {
    return await take(path, { method: 'POST', body, onSent });
  } finally {
    show('progress', false);
    show('stop', false);
    state.sending = null;
  }
}

/** Do something a person asked for; what goes wrong is said. */
const attempt = action => async (...given) => {
  $('trouble').textContent = '';
  try {
    await action(...given);
  } catch (error) {
    if (error.name === 'AbortError') say('Stopped.');
    else { say(''); $('trouble').textContent = error.message; }
  }
};

/* a recording */

const take = attempt(async (recording, name) => {
  Object.assign(state, { recording, name, sound: null });
  state.ticked.clear();
  $('from').value = $('to').value = 0;
  mark();
  URL.revokeObjectURL($('original').src);
  $('original').src = URL.createObjectURL(recording);
  for (const id of ['heard', 'found']) show(id, id === 'heard');
  const drawn = look();
  const told = await send('v1/tag', { body: recording, doing: `Listening to ${name} …` });
  await drawn;
  const known = (await ask('v1/classes')).classes;
  showFound(told, new Map(known.map(node => [node.node_id, node])));
  say(`${name}: ${told.seconds.toFixed(1)} s, ${told.nodes.length} sounds found.`);
});

async function look() {
  try {
    if (state.recording.size > DECODED_BYTES) throw new Error('too large');
    const bytes = await state.recording.arrayBuffer();
    state.sound = await new OfflineAudioContext(1, 1, 44100).decodeAudioData(bytes);
    draw($('picture'), state.sound);
    $('from').max = $('to').max = state.sound.duration.toFixed(1);
  } catch {
    state.sound = null; // a format that the service reads and this browser does not: it is separated all the same
  }
  for (const id of ['view', 'stretch', 'original']) show(id, Boolean(state.sound));
}

let recorder = null;
async function record() {
  if (recorder) {
    const { context, stream, blocks } = recorder;
    recorder = null;
    $('record').setAttribute('aria-pressed', 'false');
    $('record').textContent = 'Record';
    for (const track of stream.getTracks()) track.stop();
    await context.close();
    const channels = blocks[0]?.length ?? 1;
    const parts = blocks.map(block => Int16Array.from({ length: block[0].length * channels }, (_, at) =>
      32767 * Math.max(-1, Math.min(1, block[at % channels][Math.floor(at / channels)]))));
    return take(wav(parts, { channels, rate: context.sampleRate }), 'what was recorded');
  }
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  }).catch(error => { throw new Error(`The microphone cannot be heard: ${error.message}`); });
  const context = new AudioContext();
  await context.audioWorklet.addModule('assets/recorder.js');
  const node = new AudioWorkletNode(context, 'recorder'), blocks = [];
  node.port.onmessage = ({ data }) => blocks.push(data);
  context.createMediaStreamSource(stream).connect(node);
  recorder = { context, stream, blocks };
  $('record').setAttribute('aria-pressed', 'true');
  $('record').textContent = 'Stop recording';
  return say('Recording …');
}

/* a stretch of it */

function mark() {
  const from = Number($('from').value), to = Number($('to').value), seconds = state.sound?.duration ?? 0;
  const is = to - from >= 0.1 && to <= seconds + 0.1;
  $('more').disabled = !is;
  show('mark', is);
  if (is) Object.assign($('mark').style, { left: `${100 * from / seconds}%`, right: `${Math.max(0, 100 - 100 * to / seconds)}%` });
}

function drag(event) {
  const box = $('view').getBoundingClientRect();
  const place = ({ clientX }) => Math.max(0, Math.min(1, (clientX - box.left) / box.width)) * state.sound.duration;
  const first = place(event);
  const move = moved => {
    const [from, to] = [first, place(moved)].sort((a, b) => a - b);
    $('from').value = from.toFixed(1);
    $('to').value = to.toFixed(1);
    mark();
  };
  const end = () => { removeEventListener('pointermove', move); removeEventListener('pointerup', end); };
  addEventListener('pointermove', move);
  addEventListener('pointerup', end);
}

function stretch() {
  const rate = state.sound.sampleRate, at = id => Math.round(Number($(id).value) * rate);
  const samples = state.sound.getChannelData(0).subarray(at('from'), at('to'));
  return wav([Int16Array.from(samples, value => 32767 * Math.max(-1, Math.min(1, value)))], { channels: 1, rate });
}

/* what was found */

function showFound({ seconds, nodes }, known) {
  const found = new Map(nodes.map(node => [node.node_id, { ...node, inner: [] }]));
  const roots = [];
  for (const node of found.values()) {
    let above = known.get(node.node_id)?.parent_ids ?? [];
    while (above.length && !above.some(id => found.has(id))) above = above.flatMap(id => known.get(id)?.parent_ids ?? []);
    const parent = above.find(id => found.has(id));
    (parent ? found.get(parent).inner : roots).push(node);
  }
  state.nodes = [...found.values()];
  const items = (list, depth) => list.map((node, place) => {
    const text = `${node.label}, probability ${(node.probability ?? 0).toFixed(2)}`;
    const row = make('div', { class: 'node' },
      make('span', {}, make('i', { 'aria-hidden': 'true' }, node.inner.length ? '▾' : ''), make('b', { 'aria-hidden': 'true' }), node.label),
      make('span', { class: 'uss-note' }, (node.probability ?? 0).toFixed(2) + (node.certainty === 'doubtful' ? '?' : '')),
      strip(node, seconds));
    row.style.setProperty('--depth', depth);
    const item = make('li', {
      role: 'treeitem', tabindex: '-1', 'aria-level': depth + 1, 'aria-setsize': list.length, 'aria-posinset': place + 1,
      'aria-checked': 'false', 'aria-label': text, 'data-node': node.node_id,
    }, row);
    if (node.inner.length) {
      item.setAttribute('aria-expanded', 'true');
      item.append(make('ul', { role: 'group' }, ...items(node.inner, depth + 1)));
    }
    return item;
  });
  $('tree').replaceChildren(...items(roots, 0));
  $('tree').firstElementChild?.setAttribute('tabindex', '0');
  show('tree', roots.length > 0);
  show('nothing', !roots.length);
  show('found');
  tick();
}

function strip({ active_spans: spans, segments }, seconds) {
  const x = at => (1000 * Math.min(1, at / seconds)).toFixed(1), step = segments?.length ? seconds / segments.length : 0;
  const bars = (segments ?? []).map((p, place) => (p > 0.03 ? `M${x(place * step)} 12v${(-12 * p).toFixed(1)}H${x((place + 1) * step)}V12z` : ''));
  const lines = spans.map(one => `M${x(one.start_seconds)} 16v-3H${x(one.end_seconds)}v3z`);
  return make('svg', { class: 'uss-strip', viewBox: '0 0 1000 16', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    make('path', { class: 'uss-probability', d: bars.join('') }), make('path', { class: 'uss-spans', d: lines.join('') }));
}

function tick() {
  for (const item of $('tree').querySelectorAll('[role=treeitem]')) {
    const inner = [...item.querySelectorAll('[role=treeitem]')].some(one => state.ticked.has(one.dataset.node));
    item.setAttribute('aria-checked', state.ticked.has(item.dataset.node) ? 'true' : inner ? 'mixed' : 'false');
  }
  $('ticked').disabled = !state.ticked.size;
}

function toggle(item) {
  if (!state.ticked.delete(item.dataset.node)) state.ticked.add(item.dataset.node);
  tick();
}

function unfold(item, isOpen) {
  if (!item.hasAttribute('aria-expanded')) return;
  item.setAttribute('aria-expanded', String(isOpen));
  item.querySelector(':scope > ul').hidden = !isOpen;
  item.querySelector('i').textContent = isOpen ? '▾' : '▸';
}

function walk(event) {
  const item = event.target.closest('[role=treeitem]');
  if (!item || event.ctrlKey || event.altKey || event.metaKey) return;
  const seen = [...$('tree').querySelectorAll('[role=treeitem]')].filter(one => !one.parentElement.closest('[hidden]'));
  const at = seen.indexOf(item), isOpen = item.getAttribute('aria-expanded') === 'true';
  const to = {
    ArrowDown: () => seen[at + 1],
    ArrowUp: () => seen[at - 1],
    Home: () => seen[0],
    End: () => seen.at(-1),
    ArrowRight: () => (isOpen ? item.querySelector('[role=treeitem]') : void unfold(item, true)),
    ArrowLeft: () => (isOpen ? void unfold(item, false) : item.parentElement.closest('[role=treeitem]')),
    ' ': () => void toggle(item),
    Enter: () => void toggle(item),
  }[event.key];
  if (!to) return;
  event.preventDefault();
  go(to());
}

function go(item) {
  if (!item) return;
  $('tree').querySelector('[tabindex="0"]')?.setAttribute('tabindex', '-1');
  item.setAttribute('tabindex', '0');
  item.focus();
}

/* what comes of it */

async function separate({ ids = [], example } = {}) {
  const asked = new URLSearchParams([['residual', true], ...ids.map(id => ['class', id])]);
  let body = state.recording;
  if (example) {
    body = new FormData();
    body.append('audio', state.recording, 'audio');
    body.append('example', example, 'stretch.wav');
  }
  const doing = `Separating ${state.name} …`;
  if (!state.keeps) {
    await save(send(`v1/separate?${asked}`, { body, doing, take: call }), 'sounds.zip');
    return say(`${state.name}: separated and saved. This service keeps nothing, so nothing plays here.`);
  }
  asked.set('keep', state.keeps);
  const made = await send(`v1/separate?${asked}`, { body, doing });
  say(`${state.name}: separated.`);
  location.hash = made.id;
  return open(made.id);
}

const loader = id => async (stems, start, frames) => {
  const asked = new URLSearchParams({ stems: stems.join(), start, frames });
  return new Int16Array(await call(`v1/results/${id}/window?${asked}`, { type: 'arraybuffer' }));
};

async function open(id) {
  state.player?.pause();
  const known = await ask(`v1/results/${id}`);
  const drawn = make('template');
  drawn.innerHTML = await (await call(`v1/results/${id}/player`)).text();
  const pictures = [...drawn.content.querySelectorAll('img')].map(image => [image, image.getAttribute('src')]);
  for (const [image] of pictures) image.removeAttribute('src');
  $('player-place').replaceChildren(drawn.content);
  show('result');
  state.result = id;
  state.player = UssRayPlayer.mount($('player-place').firstElementChild, {
    engine: (data, onTrouble) => new Windows(data, onTrouble, loader(id)),
  });
  state.player.root.tabIndex = -1;
  state.player.root.focus(); // so that its keys are at hand
  $('until').textContent = `Kept until ${new Date(1000 * known.expires).toLocaleTimeString()}, then gone.`;
  fill(pictures);
}

/** Draw pictures one after the other: a browser has six connections to a service, and sound needs one of them at once. */
async function fill(pictures) {
  for (const [image, url] of pictures) {
    if (!image.isConnected) return;
    await call(url).then(picture => { image.src = URL.createObjectURL(picture); }, () => image.remove());
  }
}

async function save(made, name) {
  const url = URL.createObjectURL(await made);
  make('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function close() {
  state.player?.pause();
  $('player-place').replaceChildren();
  show('result', false);
  history.replaceState(null, '', location.pathname);
}

on('file', 'change', () => {
  const [file] = $('file').files;
  $('file').value = ''; // the same one may be chosen again
  if (file) take(file, file.name);
});
on('record', 'click', attempt(record));
on('stop', 'click', () => state.sending?.abort());
on('view', 'pointerdown', event => { if (event.button === 0) drag(event); });
for (const id of ['from', 'to']) on(id, 'input', mark);
on('more', 'click', attempt(() => separate({ ids: [...state.ticked], example: stretch() })));
on('ticked', 'click', attempt(() => separate({ ids: [...state.ticked] })));
on('all', 'click', attempt(() => separate()));
on('tree', 'keydown', walk);
on('tree', 'click', event => {
  const item = event.target.closest('[role=treeitem]');
  if (!item) return;
  if (event.target.matches('i') && event.target.textContent) unfold(item, item.getAttribute('aria-expanded') !== 'true');
  else toggle(item);
  go(item);
});
on('zip', 'click', attempt(() => save(call(`v1/results/${state.result}.zip`), 'sounds.zip')));
on('mix', 'click', attempt(() => save(mixed(state.player.data, state.player.audible(), loader(state.result)), 'mix.wav')));
on('forget', 'click', attempt(async () => { await call(`v1/results/${state.result}`, { method: 'DELETE' }); close(); }));
on('player-place', 'click', event => {
  const link = event.target.closest('a');
  if (!link) return;
  event.preventDefault();
  attempt(() => save(call(link.getAttribute('href')), link.getAttribute('href').split('/').at(-1)))();
});
for (const name of ['dragover', 'dragleave', 'drop']) {
  addEventListener(name, event => {
    event.preventDefault();
    $('drop').classList.toggle('is-over', name === 'dragover');
    const file = name === 'drop' && event.dataTransfer?.files[0];
    if (file) take(file, file.name);
  });
}

attempt(async () => {
  const info = await ask('v1/info');
  state.keeps = info.keeps && Math.min(KEPT_SECONDS, info.limits.kept_seconds);
  $('about').textContent = `Version ${info.version}, weights ${info.weights.name}. What is sent stays with this service, ${
    state.keeps ? `and what comes of it is kept for ${Math.round(state.keeps / 60)} minutes` : 'which keeps nothing'}.`;
  if (/^#[0-9a-f]{40}$/.test(location.hash)) await open(location.hash.slice(1));
})();
