// Short-time spectra of a decoded buffer, drawn on a canvas: 1024-sample Hann windows, dB, 70 dB deep.

const WINDOW = 1024;
const FLOOR_DB = -100;
const CEILING_DB = -30;
// Dark to bright in even steps of lightness, so that it reads without colour too.
const COLOURS = [[12, 8, 38], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

const hann = Float32Array.from({ length: WINDOW }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / WINDOW));

// Radix-2, in place, decimation in time.
function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const c = Math.cos((-2 * Math.PI * k) / size);
      const s = Math.sin((-2 * Math.PI * k) / size);
      for (let i = k; i < n; i += size) {
        const j = i + half;
        const [x, y] = [re[j] * c - im[j] * s, re[j] * s + im[j] * c];
        [re[j], im[j], re[i], im[i]] = [re[i] - x, im[i] - y, re[i] + x, im[i] + y];
      }
    }
  }
}

function shade(db) {
  const place = Math.min(1, Math.max(0, (db - FLOOR_DB) / (CEILING_DB - FLOOR_DB))) * (COLOURS.length - 1);
  const index = Math.min(COLOURS.length - 2, Math.floor(place));
  return COLOURS[index].map((from, k) => from + (COLOURS[index + 1][k] - from) * (place - index));
}

function drawSpectrogram(canvas, buffer, topHz) {
  const bins = Math.max(8, Math.min(WINDOW / 2, Math.round((topHz / buffer.sampleRate) * WINDOW)));
  const columns = canvas.width;
  const samples = buffer.getChannelData(0);
  const image = new ImageData(columns, bins);
  const [re, im] = [new Float32Array(WINDOW), new Float32Array(WINDOW)];
  for (let column = 0; column < columns; column++) {
    const start = Math.round((column / columns) * samples.length - WINDOW / 2);
    for (let n = 0; n < WINDOW; n++) re[n] = hann[n] * (samples[start + n] || 0);
    im.fill(0);
    fft(re, im);
    for (let bin = 0; bin < bins; bin++) {
      const power = (re[bin] ** 2 + im[bin] ** 2) / (WINDOW / 4) ** 2; // a full-scale sine is 0 dB
      const place = ((bins - 1 - bin) * columns + column) * 4;
      image.data.set([...shade(10 * Math.log10(power + 1e-12)), 255], place);
    }
  }
  const whole = el("canvas", { width: columns, height: bins });
  whole.getContext("2d").putImageData(image, 0, 0);
  canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
}
