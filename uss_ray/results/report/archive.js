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
  const asked = new Map(); // chunk -> when it is known
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

  let corrections = new Map();
  let read = null; // what the browser kept of them when it was last looked at
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
    if (!asked.has(chunk)) {
      asked.set(chunk, new Promise((resolve, reject) => {
        const script = make('script', { src: `${facts.folder}/${chunk}.js` });
        script.onload = () => (known.has(chunk) ? resolve() : script.onerror());
        script.onerror = () => {
          asked.delete(chunk); // the next who asks tries again
          reject(new Error(chunk));
        };
        document.head.append(script);
      }));
    }
    return asked.get(chunk);
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

  function choose(what, isFirst = false) {
    chosen = what;
    shown = ROWS;
    $('recordings').setAttribute('aria-pressed', String(what === 'recordings'));
    listSounds();
    show();
    if (!isFirst) $('title').focus();
  }

  /* the rows of one */

  /** Rows stand only below the title that they are of: while they are read, there are none. */
  function show() {
    if (!chosen) return;
    const what = chosen, isList = what === 'recordings', chunk = isList ? what : what.chunk;
    $('filters').hidden = isList;
    $('title').textContent = isList ? 'Recordings' : what.label;
    $('rows').ariaBusy = String(!known.has(chunk));
    if (known.has(chunk)) {
      (isList ? showRecordings : showRows)(known.get(chunk));
      return;
    }
    showNone('Reading …');
    load(chunk).then(() => chosen === what && show(), () => {
      if (chosen !== what) return; // what was asked for last is not this
      $('rows').ariaBusy = 'false';
      showNone(`The rows are not beside this page (${facts.folder}/): copy that folder together with it.`);
    });
  }

  function showNone(why) {
    $('rows').replaceChildren();
    $('count').textContent = why;
    $('more').hidden = true;
  }

  function matching({ rows, recordings, sound }) {
    const statuses = new Set([...document.querySelectorAll('#filters [name=status]:checked')].map(box => Number(box.value)));
    const words = $('in').value.toLowerCase();
    const judged = $('judged').value, sureness = $('sureness').value;
    const found = rows.filter(row => {
      if (!statuses.has(row.status)) return false;
      if (sureness !== 'all' && (sureness === 'doubtful') !== Boolean(row.isDoubtful)) return false;
      if (words && !recordings[row.recording][0].toLowerCase().includes(words)) return false;
      const verdict = corrections.get(name(recordings[row.recording][0], sound))?.verdict;
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

  const name = (recording, sound) => `${recording}\n${sound.id}`;

  function showRows(data) {
    const sound = chosen;
    const rows = data.rows.map(([recording, status, probability, level, events, spans, stem, isDoubtful]) =>
      ({ recording, status, probability, level, events, spans, stem, isDoubtful }));
    const found = matching({ rows, recordings: data.recordings, sound });
    const total = sound.counts.reduce((sum, count) => sum + count, 0);
    const left = total - rows.length;
    $('count').textContent = `${found.length.toLocaleString()} of ${total.toLocaleString()} findings (${tell(sound)})`
      + (left ? `. The page holds ${rows.length.toLocaleString()}, the most certain of what was heard first; ${left.toLocaleString()} more are in the index: uss-ray find` : '');
    $('rows').replaceChildren(...found.slice(0, shown).map(row => line(row, data.recordings[row.recording], sound)));
    page(found.length);
  }

  function page(count) {
    $('more').hidden = count <= shown;
    $('more').textContent = `Show ${Math.min(ROWS, count - shown)} more of ${(count - shown).toLocaleString()}`;
  }

  function line(row, [recording, folder = recording], sound) {
    const at = name(recording, sound), verdict = corrections.get(at)?.verdict;
    const status = STATUSES[row.status];
    const judge = (value, text) => make('button', {
      type: 'button',
      className: `verdict ${value}`,
      textContent: text,
      ariaPressed: String(verdict === value),
      ariaLabel: `${text}: ${sound.label} in ${recording}`,
      onclick: () => {
        recall();
        if (corrections.get(at)?.verdict === value) corrections.delete(at);
        else corrections.set(at, correction({ row, recording, sound, verdict: value }));
        keep();
        const fresh = line(row, [recording, folder], sound);
        item.replaceWith(fresh);
        fresh.querySelector(`.${value}`).focus();
      },
    });
    const item = make('li', { className: verdict ?? '' });
    const chips = row.spans.map(([start, end, file, begins]) => make('button', {
      type: 'button',
      className: 'event',
      textContent: `▶ ${stretch(start, end)}`,
      onclick: () => play({ folder, file: file ?? row.stem, start, end, begins, title: `${sound.label} in ${recording}` }),
    }));
    if (!row.spans.length && status !== 'absent') {
      chips.push(make('button', { type: 'button', className: 'event', textContent: row.stem?.split('/').length > 2 ? '▶ first stretch' : '▶ all', onclick: () => play({ folder, file: row.stem, start: 0, title: `${sound.label} in ${recording}` }) }));
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

  function showRecordings(data) {
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

  const audio = new Audio();
  audio.preload = 'auto';

  function play({ folder, file, start, end, begins = 0, title }) {
    playing = { end: end === undefined ? undefined : end - begins, title };
    audio.src = file ? `${address(folder)}/${address(file)}` : `${address(folder)}/report.mp3`;
    const at = Math.max(0, start - begins - 0.3);
    audio.onloadedmetadata = () => {
      audio.currentTime = at;
    };
    audio.play().catch(() => {});
    told(`${title}, ${end === undefined ? clock(start) : stretch(start, end)}`);
  }

  function told(text) {
    $('playing').textContent = text;
    $('deck').hidden = false;
  }

  audio.addEventListener('timeupdate', () => {
    if (playing?.end !== undefined && audio.currentTime >= playing.end + 0.3 && !audio.paused) audio.pause();
  });
  audio.addEventListener('error', () => {
    if (playing) told(`${playing.title} cannot be played: its sound is not beside this page, or of a format this browser does not play.`);
  });
  const isOn = () => !audio.paused && !audio.error;
  for (const event of ['play', 'waiting', 'playing', 'pause', 'ended', 'error']) audio.addEventListener(event, () => {
    const waits = isOn() && audio.readyState < HTMLMediaElement.HAVE_FUTURE_DATA;
    $('waits').hidden = !waits;
    $('stop').textContent = isOn() ? '❚❚' : '▶';
    $('stop').setAttribute('aria-label', isOn() ? 'Pause' : 'Play');
  });

  /* right and wrong */

  function correction({ row, recording, sound, verdict }) {
    return {
      recording_id: recording,
      node_id: sound.id,
      label: sound.label,
      level: sound.level,
      start_seconds: null,
      end_seconds: null,
      verdict,
      status: STATUSES[row.status],
      probability: row.probability,
      weights_sha256: facts.weights,
      noted_at: new Date().toISOString(),
    };
  }

  /** What was said in other windows since counts too; tells whether there is any. */
  function recall() {
    const kept = store('getItem');
    const isNew = kept !== null && kept !== read;
    if (isNew) corrections = new Map(JSON.parse(kept));
    read = kept;
    return isNew;
  }

  function keep() {
    read = JSON.stringify([...corrections]);
    store('setItem', read);
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
      recall();
      for (const one of read.corrections) corrections.set(`${one.recording_id}\n${one.node_id}`, one);
      keep();
      show();
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
  $('stop').onclick = () => {
    if (isOn()) return audio.pause();
    if (audio.error) audio.load(); // once more
    return audio.play().catch(() => {});
  };
  $('save-json').onclick = () => save('corrections.json', 'application/json', asJson());
  $('save-csv').onclick = () => save('corrections.csv', 'text/csv', asCsv());
  $('forget').onclick = () => {
    if (!confirm('Forget what you said of all findings? Save it first.')) return;
    corrections = new Map();
    keep();
    show();
  };
  let taken = Promise.resolve(); // files count in the order in which they were chosen
  $('load').onchange = ({ target }) => {
    const [file] = target.files;
    target.value = ''; // the same one may be chosen again
    if (file) taken = taken.then(() => take(file));
  };
  document.addEventListener('keydown', event => {
    if (event.key === ' ' && !event.target.closest('button, a, input, select, textarea, summary') && playing) {
      event.preventDefault();
      $('stop').click();
    }
  });

  function refresh() {
    if (!recall()) return;
    sayCorrections();
    show();
  }
  addEventListener('storage', event => event.key === key && refresh());
  addEventListener('pageshow', event => event.persisted && refresh());
  setInterval(refresh, 2000); // a browser may hand over what it kept later than the page, and without an event

  recall();
  listSounds();
  sayCorrections();
  const first = facts.sounds.find(one => heard(one)) ?? facts.sounds[0];
  choose(first ?? 'recordings', true);
})();
