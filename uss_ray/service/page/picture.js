/* A spectrogram as the report's, of a recording that has not left this browser yet. */
const BANDS = 80, COLUMNS = 600, SIZE = 2048, RANGE_DB = 75, MEL = 700;
const STOPS = [[9, 12, 20], [20, 34, 66], [21, 72, 104], [30, 118, 128], [86, 163, 128], [190, 200, 118], [253, 240, 196]];

/** Radix-2 transform in place. */
function transform(re, im) {
  for (let at = 1, back = 0; at < SIZE; at += 1) {
    let bit = SIZE >> 1;
    for (; back & bit; bit >>= 1) back ^= bit;
    back ^= bit;
    if (at < back) [re[at], re[back]] = [re[back], re[at]];
  }
  for (let half = 1; half < SIZE; half *= 2) {
    for (let k = 0; k < half; k += 1) {
      const c = Math.cos(Math.PI * k / half), s = -Math.sin(Math.PI * k / half);
      for (let at = k; at < SIZE; at += 2 * half) {
        const to = at + half, x = re[to] * c - im[to] * s, y = re[to] * s + im[to] * c;
        re[to] = re[at] - x; im[to] = im[at] - y; re[at] += x; im[at] += y;
      }
    }
  }
}

function colour(value) {
  const at = value * (STOPS.length - 1), below = Math.min(STOPS.length - 2, Math.floor(at));
  return STOPS[below].map((one, channel) => one + (STOPS[below + 1][channel] - one) * (at - below));
}

export function draw(canvas, buffer) {
  const sound = buffer.getChannelData(0), columns = Math.max(1, Math.min(COLUMNS, Math.floor(sound.length / 256)));
  const re = new Float32Array(SIZE), im = new Float32Array(SIZE), power = new Float32Array(columns * BANDS);
  const bins = SIZE / 2, top = Math.log1p(buffer.sampleRate / 2 / MEL);
  const band = Uint8Array.from({ length: bins }, (_, bin) =>
    Math.min(BANDS - 1, Math.floor(Math.log1p(bin * buffer.sampleRate / SIZE / MEL) / top * BANDS)));
  for (let column = 0; column < columns; column += 1) {
    const start = Math.floor(column * Math.max(0, sound.length - SIZE) / columns);
    for (let at = 0; at < SIZE; at += 1) re[at] = (sound[start + at] ?? 0) * (0.5 - 0.5 * Math.cos(2 * Math.PI * at / SIZE));
    im.fill(0);
    transform(re, im);
    for (let bin = 1; bin < bins; bin += 1) power[column * BANDS + band[bin]] += re[bin] ** 2 + im[bin] ** 2;
    // Low bands may have no bin of their own.
    for (let at = 1; at < BANDS; at += 1) power[column * BANDS + at] ||= power[column * BANDS + at - 1];
  }
  const level = power.map(value => 10 * Math.log10(value + 1e-9)), loudest = level.reduce((a, b) => Math.max(a, b));
  // A browser raises the rate: bands above the recording's own are empty.
  const height = 1 + level.reduce((top, value, at) => (value > loudest - RANGE_DB ? Math.max(top, at % BANDS) : top), BANDS / 4);
  Object.assign(canvas, { width: columns, height });
  const context = canvas.getContext('2d'), image = context.createImageData(columns, height);
  level.forEach((value, at) => {
    if (at % BANDS >= height) return;
    const place = 4 * ((height - 1 - at % BANDS) * columns + Math.floor(at / BANDS));
    image.data.set([...colour(Math.max(0, (value - loudest) / RANGE_DB + 1)), 255], place);
  });
  context.putImageData(image, 0, 0);
}
