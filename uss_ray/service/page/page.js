/* The page of a service. */
import { Windows, pause, pcm, stemOf, wav } from './windows.js';

const KEPT_SECONDS = 3600; // or less
const PATIENCE = 6; // with a busy service
const $ = id => document.getElementById(id);
const on = (id, event, action, options) => $(id).addEventListener(event, action, options);
const show = (id, is = true) => { $(id).hidden = !is; };
const say = (...words) => $('state').replaceChildren(...words);
const fault = (text, isPassing = false) => Object.assign(new Error(text), { isPassing });
const make = (name, facts = {}, ...inner) => {
  const one = document.createElement(name);
  for (const [key, value] of Object.entries(facts)) one.setAttribute(key, value);
  one.append(...inner);
  return one;
};
const seconds = text => Number($(text).value);
const state = { ticked: new Set(), turn: 0 };
const sends = new Set(), turns = {};
/** Markup of our own, in which words of strangers are texts already. */
const markup = text => Object.assign(make('template'), { innerHTML: text }).content;
const note = text => make('span', { class: 'uss-note' }, text);
/** A name, whose letters may run from right to left. */
const called = name => make('bdi', {}, name);
const sureness = ({ probability, certainty }) => (probability ?? 0).toFixed(2) + (certainty === 'doubtful' ? '?' : '');
let token = sessionStorage.getItem('uss-token') ?? '';

function letIn() {
  show('door');
  $('token').focus();
  return new Promise(resolve => on('door', 'submit', event => {
    event.preventDefault();
    token = $('token').value.trim();
    sessionStorage.setItem('uss-token', token);
    show('door', false);
    resolve();
  }, { once: true }));
}

/** `onSent` hears which part of the body has gone. */
function once(path, { method = 'GET', body, onSent, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    request.responseType = 'blob';
    if (token) request.setRequestHeader('authorization', `Bearer ${token}`);
    if (onSent) request.upload.onprogress = event => onSent(event.loaded / event.total);
    request.onload = () => resolve(request);
    request.onerror = () => reject(fault('The service cannot be reached.', true));
    request.onabort = () => reject(new DOMException('Stopped.', 'AbortError'));
    signal?.addEventListener('abort', () => request.abort());
    request.send(body);
  });
}

async function call(path, options = {}) {
  for (let tries = 0; ; tries += 1) {
    const known = token, answer = await once(path, options);
    if (answer.status < 400) return answer.response;
    if (answer.status === 401) {
      if (known !== token) continue; // it was given meanwhile
      if (token) $('trouble').textContent = 'This service does not know the token.';
      await letIn();
      $('trouble').textContent = '';
    } else if ([429, 503].includes(answer.status) && tries < PATIENCE) {
      const seconds = Number(answer.getResponseHeader('retry-after')) || 1;
      if (options.body) say(`The service is busy; asked again in ${seconds} s.`);
      await pause(seconds);
      options.signal?.throwIfAborted();
    } else {
      const said = await new Response(answer.response).json().catch(() => ({}));
      throw fault(said.detail ?? `The service answered ${answer.status}.`, answer.status === 429 || answer.status >= 500);
    }
  }
}

const ask = async (path, options) => JSON.parse(await (await call(path, options)).text());

async function about() {
  const info = state.info ??= await ask('v1/info');
  return { ...info, kept: info.keeps && Math.min(KEPT_SECONDS, info.limits.kept_seconds) };
}

async function send(path, { body, name, doing, read = ask, stop = new AbortController() }) {
  sends.add(stop);
  show('sending');
  const onSent = part => {
    if ([...sends].at(-1) !== stop) return; // the last is told
    $('progress').value = part;
    say(part < 1 ? 'Sending ' : `${doing} `, called(name), part < 1 ? `: ${Math.round(100 * part)} %` : ' …');
    if (part === 1) $('progress').removeAttribute('value');
  };
  try {
    return await read(path, { method: 'POST', body, onSent, signal: stop.signal });
  } catch (error) {
    if (error.isPassing !== undefined) error.message = error.message.replace(/^re(cording|quest): /, `${name}: `);
    throw error;
  } finally {
    sends.delete(stop);
    show('sending', sends.size > 0);
  }
}

/** A place shows the answer to the last question alone. */
async function latest(place, answer) {
  const turn = turns[place] = (turns[place] ?? 0) + 1, told = $(`${place}-say`) ?? {};
  $(place).ariaBusy = true;
  told.textContent = 'Reading …';
  try {
    return await answer;
  } finally {
    if (turn !== turns[place]) throw new DOMException('', 'Overtaken');
    $(place).ariaBusy = false;
    told.textContent = '';
  }
}

/** What goes wrong is said, and may be tried again. */
const attempt = action => async (...given) => {
  $('trouble').textContent = '';
  show('again', false);
  try {
    await action(...given);
  } catch (error) {
    if (error.name === 'Overtaken') return;
    const isStopped = error.name === 'AbortError';
    say(isStopped ? 'Stopped.' : '');
    if (!isStopped) $('trouble').textContent = error.message;
    state.again = () => attempt(action)(...given);
    show('again', isStopped || error.isPassing);
  }
};

const onClick = (id, action) => on(id, 'click', attempt(action));

const take = attempt(async (recording, name) => {
  state.listening?.abort();
  const stop = new AbortController();
  Object.assign(state, { recording, name, sound: null, listening: stop, turn: state.turn + 1 });
  state.ticked.clear();
  $('from').value = $('to').value = 0;
  mark();
  for (const id of ['heard', 'found', 'picture']) show(id, false);
  const [told, { classes }] = await latest('found', Promise.all([
    send('v1/tag?spectrogram=true', { body: recording.slice(), name, doing: 'Listening to', stop }), ask('v1/classes'), look(recording, stop),
  ]));
  Object.assign($('picture'), { src: told.spectrogram, hidden: false });
  show('heard');
  showFound(told, new Map(classes.map(node => [node.node_id, node])));
  const count = told.nodes.length;
  say(called(name), `: ${told.seconds.toFixed(1)} s, ${count || 'no'} sound${count === 1 ? '' : 's'} found.`);
});

const takeFirst = ([file]) => file && take(file, file.name);

/** What this browser cannot read, or would not hold, the service may. */
async function look(recording, turn) {
  const player = $('original'), { limits } = await about();
  if (turn !== state.listening) return; // overtaken
  URL.revokeObjectURL(player.src);
  await new Promise(resolve => {
    player.onloadedmetadata = player.onerror = resolve;
    player.src = URL.createObjectURL(recording);
  });
  const isLong = player.duration > limits.decoded_seconds && player.duration < Infinity;
  const sound = isLong ? null : await new OfflineAudioContext(1, 1, 44100).decodeAudioData(await recording.arrayBuffer()).catch(() => null);
  if (turn !== state.listening) return;
  state.sound = sound;
  for (const id of ['heard', 'original', 'stretch']) show(id, sound);
  if (sound) $('from').max = $('to').max = sound.duration.toFixed(1);
}

let recorder = null;
const press = isOn => Object.assign($('record'), { ariaPressed: isOn, textContent: isOn ? 'Stop recording' : 'Record' });

const letGo = stream => stream?.getTracks().forEach(track => track.stop());

async function record() {
  if (recorder?.context) {
    const { context, stream, blocks } = recorder;
    recorder = null;
    press(false);
    letGo(stream);
    await context.close();
    const channels = blocks[0]?.length ?? 1;
    const parts = blocks.map(block => pcm(block[0].length * channels, at => block[at % channels][Math.floor(at / channels)]));
    return take(wav(parts, { channels, rate: context.sampleRate }), 'what was recorded');
  }
  if (recorder) return undefined; // it is on its way
  recorder = {};
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    const context = new AudioContext();
    await context.audioWorklet.addModule('assets/recorder.js');
    const node = new AudioWorkletNode(context, 'recorder'), blocks = [];
    node.port.onmessage = ({ data }) => blocks.push(data);
    context.createMediaStreamSource(stream).connect(node);
    recorder = { context, stream, blocks };
  } catch (error) {
    recorder = null;
    letGo(stream);
    throw new Error(`The microphone cannot be heard: ${error.message}`);
  }
  press(true);
  return say('Recording …');
}

function mark() {
  const from = seconds('from'), to = seconds('to'), all = state.sound?.duration ?? 0;
  const is = to - from >= 0.1 && to <= all + 0.1;
  $('more').disabled = !is;
  $('view').classList.toggle('has-loop', is);
  $('view').style.cssText = `--from: ${from / all}; --to: ${Math.min(1, to / all)}`;
}

function stretch() {
  const { sampleRate: rate, numberOfChannels: count, length } = state.sound, start = Math.round(seconds('from') * rate);
  const channels = Array.from({ length: count }, (_, channel) => state.sound.getChannelData(channel));
  const samples = pcm(Math.min(length, Math.round(seconds('to') * rate)) - start, at =>
    channels.reduce((sum, channel) => sum + channel[start + at], 0) / count);
  return wav([samples], { channels: 1, rate });
}

function showFound({ nodes, ...told }, known) {
  const found = new Map(nodes.map(node => [node.node_id, { ...node, inner: [] }])), roots = [];
  for (const node of found.values()) {
    let above = [node.node_id], parent;
    while (above.length && !parent) {
      above = above.flatMap(id => known.get(id)?.parent_ids ?? []);
      parent = found.get(above.find(id => found.has(id)));
    }
    (parent?.inner ?? roots).push(node);
  }
  const items = (list, depth) => list.map(node => {
    const p = sureness(node), hidden = { 'aria-hidden': true };
    const row = make('div', { class: 'node' },
      make('span', {}, make('i', hidden, node.inner.length ? '▾' : ''), make('b', hidden), node.label), note(p), strip(node, told));
    row.style.setProperty('--depth', depth);
    const item = make('li', {
      role: 'treeitem', tabindex: '-1', 'aria-label': `${node.label}, probability ${p}, heard for ${node.active_seconds.toFixed(1)} s`, 'data-node': node.node_id,
    }, row);
    if (node.inner.length) {
      item.ariaExpanded = true;
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

function strip({ active_spans: spans, segments }, { seconds: length, segment_seconds: step }) {
  const x = at => (1000 * Math.min(1, at / length)).toFixed(1);
  const bars = segments?.map((p, place) => `M${x(place * step)} 12v${(-12 * p).toFixed(1)}H${x((place + 1) * step)}V12z`) ?? [];
  const lines = spans.map(one => `M${x(one.start_seconds)} 16v-3H${x(one.end_seconds)}v3z`);
  return markup(`<svg class="uss-strip" viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true">
    <path class="uss-probability" d="${bars.join('')}"/><path class="uss-spans" d="${lines.join('')}"/></svg>`);
}

function tick() {
  for (const item of $('tree').querySelectorAll('li')) {
    const inner = [...item.querySelectorAll('li')].some(one => state.ticked.has(one.dataset.node));
    item.ariaChecked = state.ticked.has(item.dataset.node) || (inner && 'mixed');
  }
  $('ticked').disabled = !state.ticked.size;
}

function toggle(item) {
  if (!state.ticked.delete(item.dataset.node)) state.ticked.add(item.dataset.node);
  tick();
}

function unfold(item, isOpen) {
  if (!item.ariaExpanded) return;
  item.ariaExpanded = isOpen;
  item.querySelector(':scope > ul').hidden = !isOpen;
  item.querySelector('i').textContent = isOpen ? '▾' : '▸';
}

function walk(event) {
  const item = event.target.closest('li');
  if (!item || event.ctrlKey || event.altKey || event.metaKey) return;
  const seen = [...$('tree').querySelectorAll('li')].filter(one => !one.parentElement.closest('[hidden]'));
  const at = seen.indexOf(item), isOpen = item.ariaExpanded === 'true';
  const to = {
    ArrowDown: () => seen[at + 1],
    ArrowUp: () => seen[at - 1],
    Home: () => seen[0],
    End: () => seen.at(-1),
    ArrowRight: () => (isOpen ? item.querySelector('li') : void unfold(item, true)),
    ArrowLeft: () => (isOpen ? void unfold(item, false) : item.parentElement.closest('li')),
    ' ': () => void toggle(item),
  }[event.key.replace('Enter', ' ')];
  if (!to) return;
  event.preventDefault();
  go(to());
}

function go(item) {
  if (!item) return;
  for (const one of $('tree').querySelectorAll('[tabindex="0"]')) one.tabIndex = -1;
  item.tabIndex = 0;
  item.focus();
}

async function showJobs() {
  show('of-job', false);
  const jobs = [];
  for (let page = { next: '' }; page.next !== null; jobs.push(...page.jobs)) page = await latest('job-list', ask(`v1/jobs?cursor=${page.next}`));
  jobs.sort((a, b) => b.created_at - a.created_at);
  $('job-list').replaceChildren(...jobs.map(job => make('li', {}, make('button', { 'data-job': job.id }, job.input.uri),
    note(` ${job.status}${job.reason ? `: ${job.reason}` : ''}, ${job.finished} of ${job.found} recordings${job.failed ? `, ${job.failed} failed` : ''} · ${new Date(1000 * job.created_at).toLocaleString()}`))));
  if (!jobs.length) $('job-list-say').textContent = 'None yet. POST /v1/jobs separates archives.';
}

function showJob(job) {
  state.job = job;
  for (const one of $('job-list').querySelectorAll('button')) one.ariaPressed = one.dataset.job === job;
  const sound = $('sound').value.trim();
  state.asked = `v1/jobs/${job}/recordings?${new URLSearchParams(sound && { class: sound })}`;
  $('recordings').replaceChildren();
  show('further', false);
  show('of-job');
  return showMore('');
}

/** The rows of a recording stand together. */
async function showMore(cursor = state.next) {
  const list = $('recordings'), page = await latest('recordings', ask(`${state.asked}&cursor=${encodeURIComponent(cursor)}`));
  for (const row of page.recordings) {
    const { recording_id: name, result, stem } = row;
    if (list.lastChild?.dataset.name !== name) {
      const way = result ? make('button', { 'data-result': result.split('/').at(-1) }, name) : name;
      list.append(make('li', { 'data-name': name }, way, note(result ? '' : ` (its sounds lie at ${stem ?? 'its output'})`)));
    }
    list.lastChild.lastChild.append(` · ${row.label} ${sureness(row)}`);
  }
  state.next = page.next;
  show('further', page.next !== null);
  if (page.next !== null && !page.recordings.length) return showMore(); // of rare ones there may be none yet
  $('recordings-say').append(list.children.length ? '' : 'Nothing was heard. ', page.is_whole ? '' : 'Some may be missing: the job went on.');
}

async function separate({ ids = [], example } = {}) {
  const { recording, name } = state, turn = state.turn += 1, of = ` of ${name}`;
  const asked = new URLSearchParams([['residual', true], ...ids.map(id => ['class', id])]);
  let body = recording.slice();
  if (example) {
    body = new FormData();
    body.append('audio', recording, 'audio');
    body.append('example', example, 'stretch.wav');
  }
  const keep = (await about()).kept, given = { body, name, doing: 'Separating' };
  if (!keep) {
    await save(send(`v1/separate?${asked}`, { ...given, read: call }), 'sounds.zip');
    return say(called(name), ': saved. This service keeps nothing, so nothing plays here.');
  }
  const made = await send(`v1/separate?${asked}&keep=${keep}`, given);
  if (turn === state.turn) await open(made.id, of);
  else $('ready').append(make('button', { 'data-result': made.id, 'data-of': of }, `Open ${name}`));
  return say(called(name), ': separated.');
}

async function open(id, of = '') {
  state.turn += 1;
  state.player?.pause();
  say('Opening …');
  const [known, text] = await latest('result', Promise.all([
    ask(`v1/results/${id}`), call(`v1/results/${id}/player`).then(page => page.text()),
  ]));
  say('');
  const drawn = markup(text), pictures = [...drawn.querySelectorAll('img')].map(image => [image, image.getAttribute('src')]);
  for (const [image] of pictures) image.removeAttribute('src');
  $('player-place').replaceChildren(drawn.firstElementChild);
  $('unheard-place').replaceChildren(drawn);
  show('result');
  state.result = id;
  history.replaceState(null, '', `#${id}`);
  const load = asked => call(`v1/results/${id}/window?${new URLSearchParams(asked)}`).then(window => window.arrayBuffer());
  state.player = UssRayPlayer.mount($('player-place').firstElementChild, {
    engine: (data, onTrouble, onBack) => new Windows(data, onTrouble, { load, onBack }),
  });
  state.player.root.tabIndex = -1;
  state.player.root.focus();
  $('result-title').textContent = known.expires ? `Sounds${of}` : known.name;
  $('until').textContent = known.expires ? `Kept until ${new Date(1000 * known.expires).toLocaleTimeString()}, then gone.` : 'Kept as long as its job.';
  show('forget', known.expires);
  fill(pictures);
}

/** One at a time: sound needs one of a browser's six connections. */
async function fill(pictures) {
  for (const [image, url] of pictures) {
    while (image.isConnected && !image.src) {
      await call(url).then(picture => { image.src = URL.createObjectURL(picture); }, error => (error.isPassing ? pause(2) : image.remove()));
    }
  }
}

async function save(made, name) {
  say(`Fetching ${name} …`);
  const url = URL.createObjectURL(await made);
  say('');
  make('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

on('file', 'change', () => {
  takeFirst($('file').files);
  $('file').value = '';
});
onClick('record', record);
on('again', 'click', () => state.again());
on('stop', 'click', () => { for (const one of sends) one.abort(); });
UssRayPlayer.drag($('view'), (...ends) => {
  [$('from').value, $('to').value] = ends.map(end => (end * (state.sound?.duration ?? 0)).toFixed(1));
  mark();
});
for (const id of ['from', 'to']) on(id, 'input', mark);
onClick('more', () => separate({ ids: [...state.ticked], example: stretch() }));
onClick('ticked', () => separate({ ids: [...state.ticked] }));
onClick('all', () => separate());
on('tree', 'keydown', walk);
on('tree', 'click', event => {
  const item = event.target.closest('li');
  if (!item) return;
  if (event.target.matches('i') && event.target.textContent) unfold(item, item.ariaExpanded !== 'true');
  else toggle(item);
  go(item);
});
onClick('zip', () => save(call(`v1/results/${state.result}.zip?redirect=false`), 'sounds.zip'));
onClick('mix', () => {
  const files = [...state.player.audible()].flatMap(([lane, gain]) => state.player.data.lanes[lane].files.map(file => [stemOf(file.url), gain.toFixed(3)]));
  const asked = new URLSearchParams({ stems: files.map(([stem]) => stem).join(), gains: files.map(([, gain]) => gain).join() });
  return save(call(`v1/results/${state.result}/mix.wav?${asked}`), 'mix.wav');
});
onClick('forget', async () => {
  const { result } = state;
  await call(`v1/results/${result}`, { method: 'DELETE' });
  if (result !== state.result) return;
  state.player.pause();
  $('player-place').replaceChildren();
  show('result', false);
  history.replaceState(null, '', location.pathname);
});
on('player-place', 'click', event => {
  const href = event.target.closest('a')?.getAttribute('href');
  if (!href) return;
  event.preventDefault();
  attempt(() => save(call(`${href}?redirect=false`), decodeURIComponent(href.split('/').at(-1))))();
});
on('jobs', 'toggle', attempt(() => $('jobs').open && showJobs()));
onClick('job-list', ({ target: { dataset } }) => dataset.job && showJob(dataset.job));
on('filter', 'submit', event => { event.preventDefault(); attempt(showJob)(state.job); });
onClick('further', () => showMore());
for (const id of ['recordings', 'ready']) onClick(id, ({ target }) => {
  if (target.parentElement === $('ready')) target.remove();
  return target.dataset.result && open(target.dataset.result, target.dataset.of);
});
addEventListener('hashchange', () => location.reload());
for (const name of ['dragover', 'dragleave', 'drop']) {
  addEventListener(name, event => {
    event.preventDefault();
    $('drop').classList.toggle('is-over', name === 'dragover');
    if (name === 'drop') takeFirst(event.dataTransfer.files);
  });
}

attempt(async () => {
  const { version, weights, jobs, kept } = await about();
  $('about').textContent = `Version ${version}, weights ${weights.name}. What is sent stays with this service, ${
    kept ? `and what comes of it is kept for ${Math.round(kept / 60)} minutes` : 'which keeps nothing'}.`;
  show('jobs', jobs);
  if (/^#[0-9a-f-]{40,66}$/.test(location.hash)) await open(location.hash.slice(1));
})();
