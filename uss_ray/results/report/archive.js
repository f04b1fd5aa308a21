/* The page of an archive: what was found, sound by sound; to be heard, and to be called right or wrong.
 *
 * A page that is opened as a file may not fetch. So the rows of each sound are a script of their own, put into the page
 * when somebody asks for them: it calls UssRayArchive.take.
 */
(() => {
  'use strict';
  const STATUSES = ['written', 'detected', 'silent', 'absent'];
  const ROWS = 100;
  const $ = id => document.getElementById(id);
  const facts = JSON.parse($('facts').textContent);
  const known = new Map(); // chunk -> its rows
  const key = `uss-ray-corrections ${facts.run}`;
  const make = (tag, values = {}, ...inner) => {
    const element = Object.assign(document.createElement(tag), values);
    element.append(...inner);
    return element;
  };
  const clock = seconds => {
    const whole = Math.floor(seconds), two = number => String(number).padStart(2, '0');
    const hours = Math.floor(whole / 3600), rest = `${Math.floor(whole / 60) % 60}:${two(whole % 60)}`;
    return hours ? `${hours}:${rest.padStart(5, '0')}` : rest;
  };
  // An event of a second or two would begin and end in the same one.
  const stretch = (start, end) => [start, end].map(seconds => {
    const tenths = Math.round(10 * seconds);
    return end - start < 10 ? `${clock(tenths / 10)}.${tenths % 10}` : clock(seconds);
  }).join('–');
  const address = path => path.split('/').map(encodeURIComponent).join('/');

  let corrections = new Map(JSON.parse(store('getItem') ?? '[]'));
  let chosen = null; // a sound, or 'recordings'
  let shown = ROWS;
  let playing = null;

  function store(action, ...values) {
    try {
      return localStorage[action](key, ...values);
    } catch {
      return null; // a browser that keeps nothing: corrections last as long as the page
    }
  }

  globalThis.UssRayArchive = {
    take(chunk, data) {
      known.set(chunk, data);
    },
  };

  function load(chunk) {
    if (known.has(chunk)) return Promise.resolve(known.get(chunk));
    return new Promise((resolve, reject) => {
      const script = make('script', { src: `${facts.folder}/${chunk}.js` });
      script.onload = () => (known.has(chunk) ? resolve(known.get(chunk)) : reject(new Error(chunk)));
      script.onerror = () => reject(new Error(chunk));
      document.head.append(script);
    });
  }

  /* the list of sounds */

  function listSounds() {
    const words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = sound => words.every(word => sound.label.toLowerCase().includes(word) || sound.id === word);
    const found = facts.sounds.filter(fits);
    const item = sound => make('li', {}, make('button', {
      type: 'button',
      textContent: sound.label,
      ariaCurrent: chosen === sound ? 'true' : null,
      onclick: () => choose(sound),
    }, make('span', { textContent: heard(sound) || '–', title: tell(sound) })));
    $('sounds').replaceChildren(...found.map(item));
    $('sounds-note').textContent = found.length ? '' : 'No sound of this archive is called so.';
  }

  const heard = sound => sound.counts[0] + sound.counts[1];
  const tell = sound => STATUSES.map((status, n) => (sound.counts[n] ? `${sound.counts[n].toLocaleString()} ${status}` : ''))
    .filter(Boolean).join(', ');

  async function choose(what, isFirst = false) {
    chosen = what;
    shown = ROWS;
    $('recordings').setAttribute('aria-pressed', String(what === 'recordings'));
    listSounds();
    await show();
    if (!isFirst) $('title').focus();
  }

  /* the rows of one */

  async function show() {
    if (!chosen) return;
    const isList = chosen === 'recordings';
    $('filters').hidden = isList;
    $('title').textContent = isList ? 'Recordings' : chosen.label;
    try {
      await (isList ? showRecordings() : showRows());
    } catch {
      $('rows').replaceChildren();
      $('count').textContent = `The rows are not beside this page (${facts.folder}/): copy that folder together with it.`;
      $('more').hidden = true;
    }
  }

  function matching(rows, recordings) {
    const statuses = new Set([...document.querySelectorAll('#filters [name=status]:checked')].map(box => Number(box.value)));
    const words = $('in').value.toLowerCase();
    const judged = $('judged').value, sureness = $('sureness').value;
    const found = rows.filter(row => {
      if (!statuses.has(row.status)) return false;
      if (sureness !== 'all' && (sureness === 'doubtful') !== Boolean(row.isDoubtful)) return false;
      if (words && !recordings[row.recording][0].toLowerCase().includes(words)) return false;
      const verdict = corrections.get(name(row, recordings))?.verdict;
      return judged === 'all' || (judged === 'open' ? !verdict : Boolean(verdict));
    });
    const by = {
      most: (a, b) => (b.probability ?? -1) - (a.probability ?? -1),
      least: (a, b) => (a.probability ?? 2) - (b.probability ?? 2),
      recording: (a, b) => (recordings[a.recording][0] < recordings[b.recording][0] ? -1 : 1),
      loudest: (a, b) => (b.level ?? -999) - (a.level ?? -999),
    };
    return found.sort(by[$('order').value]);
  }

  const name = (row, recordings) => `${recordings[row.recording][0]}\n${chosen.id}`;

  async function showRows() {
    const sound = chosen, data = await load(sound.chunk);
    if (chosen !== sound) return;
    const rows = data.rows.map(([recording, status, probability, level, events, spans, stem, isDoubtful]) =>
      ({ recording, status, probability, level, events, spans, stem, isDoubtful }));
    const found = matching(rows, data.recordings);
    const total = sound.counts.reduce((sum, count) => sum + count, 0);
    const left = total - rows.length;
    $('count').textContent = `${found.length.toLocaleString()} of ${total.toLocaleString()} findings (${tell(sound)})`
      + (left ? `. The page holds ${rows.length.toLocaleString()}, the most certain of what was heard first; ${left.toLocaleString()} more are in the index: uss-ray find` : '');
    $('rows').replaceChildren(...found.slice(0, shown).map(row => line(row, data.recordings)));
    page(found.length);
  }

  function page(count) {
    $('more').hidden = count <= shown;
    $('more').textContent = `Show ${Math.min(ROWS, count - shown)} more of ${(count - shown).toLocaleString()}`;
  }

  function line(row, recordings) {
    const [recording, folder = recording] = recordings[row.recording];
    const at = name(row, recordings), verdict = corrections.get(at)?.verdict;
    const status = STATUSES[row.status];
    const judge = (value, text) => make('button', {
      type: 'button',
      className: `verdict ${value}`,
      textContent: text,
      ariaPressed: String(verdict === value),
      ariaLabel: `${text}: ${chosen.label} in ${recording}`,
      onclick: () => {
        if (corrections.get(at)?.verdict === value) corrections.delete(at);
        else corrections.set(at, correction(row, recording, value));
        keep();
        const fresh = line(row, recordings);
        item.replaceWith(fresh);
        fresh.querySelector(`.${value}`).focus();
      },
    });
    const item = make('li', { className: verdict ?? '' });
    const chips = row.spans.map(([start, end, file]) => make('button', {
      type: 'button',
      className: 'event',
      textContent: `▶ ${stretch(start, end)}`,
      onclick: () => play({ folder, file: file ?? row.stem, start, end, isOwn: Boolean(file), title: `${chosen.label} in ${recording}` }),
    }));
    if (!row.spans.length && status !== 'absent') {
      chips.push(make('button', { type: 'button', className: 'event', textContent: '▶ all', onclick: () => play({ folder, file: row.stem, start: 0, title: `${chosen.label} in ${recording}` }) }));
    }
    if (status === 'absent') {
      chips.push(make('button', { type: 'button', className: 'event', textContent: '▶ recording', onclick: () => play({ folder, start: 0, title: recording }) }));
    }
    if (row.events > row.spans.length) chips.push(make('a', { href: `${address(folder)}/report.html`, textContent: `${row.events - row.spans.length} more` }));
    item.append(
      make('a', { className: 'where', href: `${address(folder)}/report.html`, textContent: recording }),
      make('span', { className: 'sure' }, bar(row.probability), make('span', { textContent: row.probability === null ? '–' : row.probability.toFixed(2) + (row.isDoubtful ? '?' : ''), title: row.isDoubtful ? 'doubtful' : '' })),
      make('span', { className: 'state', textContent: status + (row.level === null ? '' : `, ${row.level.toFixed(0).replace('-', '−')} dB`) }),
      make('span', { className: 'events' }, ...chips),
      make('span', { className: 'judge' }, judge('right', 'Right'), judge('wrong', 'Wrong')),
    );
    return item;
  }

  function bar(probability) {
    const inner = make('i');
    inner.style.width = `${100 * (probability ?? 0)}%`;
    return make('span', { className: 'bar', ariaHidden: 'true' }, inner);
  }

  async function showRecordings() {
    const data = await load('recordings');
    if (chosen !== 'recordings') return;
    const words = $('search').value.toLowerCase();
    const found = data.filter(([id]) => !words || id.toLowerCase().includes(words));
    const left = facts.recordings - data.length;
    $('count').textContent = `${found.length.toLocaleString()} of ${facts.recordings.toLocaleString()} recordings, ${facts.failed.toLocaleString()} of them failed`
      + (left ? `. The page lists ${data.length.toLocaleString()}, failed ones first; the index has all` : '')
      + (words ? `; those with “${words}” in their name` : '');
    $('rows').replaceChildren(...found.slice(0, shown).map(([id, seconds, count, reason, folder = id]) => make('li', { className: 'one' },
      reason ? make('span', { className: 'where', textContent: id }) : make('a', { className: 'where', href: `${address(folder)}/report.html`, textContent: id }),
      make('span', { className: 'state', textContent: seconds === null ? '' : clock(seconds) }),
      make('span', { className: 'events', textContent: reason ? `failed: ${reason}` : `${count} sounds` }))));
    page(found.length);
  }

  /* sound */

  const sound = new Audio();
  sound.preload = 'auto';

  function play({ folder, file, start, end, isOwn, title }) {
    playing = { end: isOwn ? undefined : end, title };
    sound.src = file ? `${address(folder)}/${address(file)}` : `${address(folder)}/report.mp3`;
    const at = isOwn ? 0 : Math.max(0, start - 0.3);
    sound.onloadedmetadata = () => {
      sound.currentTime = at;
    };
    sound.play().catch(() => {});
    told(`${title}, ${end === undefined ? clock(start) : stretch(start, end)}`);
  }

  function told(text) {
    $('playing').textContent = text;
    $('deck').hidden = false;
  }

  sound.addEventListener('timeupdate', () => {
    if (playing?.end !== undefined && sound.currentTime >= playing.end + 0.3 && !sound.paused) sound.pause();
  });
  sound.addEventListener('error', () => {
    if (playing) told(`${playing.title} cannot be played: its sound is not beside this page, or of a format this browser does not play.`);
  });
  for (const event of ['play', 'pause', 'ended']) sound.addEventListener(event, () => {
    $('stop').textContent = sound.paused ? '▶' : '❚❚';
    $('stop').setAttribute('aria-label', sound.paused ? 'Play' : 'Pause');
  });

  /* right and wrong */

  function correction(row, recording, verdict) {
    return {
      recording_id: recording,
      node_id: chosen.id,
      label: chosen.label,
      level: chosen.level,
      start_seconds: null,
      end_seconds: null,
      verdict,
      status: STATUSES[row.status],
      probability: row.probability,
      weights_sha256: facts.weights,
      noted_at: new Date().toISOString(),
    };
  }

  function keep() {
    store('setItem', JSON.stringify([...corrections]));
    sayCorrections();
  }

  function sayCorrections() {
    const all = [...corrections.values()], right = all.filter(one => one.verdict === 'right').length;
    $('said').textContent = all.length ? `${right} right, ${all.length - right} wrong` : 'none yet';
    for (const id of ['save-json', 'save-csv', 'forget']) $(id).disabled = !all.length;
  }

  function save(name, type, text) {
    const link = make('a', { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  const asJson = () => JSON.stringify({ format: 'uss-ray-corrections', version: 1, corrections: [...corrections.values()] }, null, 1);

  function asCsv() {
    const columns = facts.columns, quote = value => `"${String(value ?? '').replaceAll('"', '""')}"`;
    const lines = [...corrections.values()].map(one => columns.map(column => (one[column] === null ? '' : quote(one[column]))).join(','));
    return [columns.join(','), ...lines, ''].join('\r\n');
  }

  async function take(file) {
    try {
      const read = JSON.parse(await file.text());
      if (read.format !== 'uss-ray-corrections') throw new Error();
      for (const one of read.corrections) corrections.set(`${one.recording_id}\n${one.node_id}`, one);
      keep();
      await show();
    } catch {
      $('said').textContent = `${file.name} is no JSON file of corrections.`;
    }
  }

  /* what is done */

  $('search').addEventListener('input', () => (chosen === 'recordings' ? show() : listSounds()));
  for (const control of document.querySelectorAll('#filters input, #filters select')) {
    control.addEventListener('input', () => {
      shown = ROWS;
      show();
    });
  }
  $('more').onclick = () => {
    shown += ROWS;
    show();
  };
  $('recordings').onclick = () => choose('recordings');
  $('stop').onclick = () => (sound.paused ? sound.play().catch(() => {}) : sound.pause());
  $('save-json').onclick = () => save('corrections.json', 'application/json', asJson());
  $('save-csv').onclick = () => save('corrections.csv', 'text/csv', asCsv());
  $('forget').onclick = () => {
    if (!confirm('Forget what you said of all findings? Save it first.')) return;
    corrections = new Map();
    keep();
    show();
  };
  $('load').onchange = event => take(event.target.files[0]);
  document.addEventListener('keydown', event => {
    if (event.key === ' ' && !event.target.closest('button, a, input, select, textarea, summary') && playing) {
      event.preventDefault();
      $('stop').click();
    }
  });

  listSounds();
  sayCorrections();
  const first = facts.sounds.find(one => heard(one)) ?? facts.sounds[0];
  choose(first ?? 'recordings', true);
})();
