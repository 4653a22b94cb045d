// Heat maps: from an exit's small map to colours, as the program draws them.
"use strict";
document.documentElement.classList.add("js");
const data = JSON.parse(document.getElementById("data").textContent);

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const tables = Object.fromEntries(Object.entries(data.colours).map(([name, text]) => [name, bytes(text)]));

/** The maps of an image, exits x height x width numbers from 0 to 255; decoded when first needed. */
function mapsOf(image) {
  if (!image.decoded && image.maps) image.decoded = bytes(image.maps);
  return image.decoded;
}

/** Where an output position lies between two inputs: half-pixel centres, edges repeated. */
function taps(from, to) {
  const list = [];
  for (let i = 0; i < to; i++) {
    const at = Math.max((from / to) * (i + 0.5) - 0.5, 0);
    const low = Math.min(Math.floor(at), from - 1);
    list.push([low, Math.min(low + 1, from - 1), Math.min(at - low, 1)]);
  }
  return list;
}

/** Bilinear: rows brought to the full width once, then mixed in pairs. */
function enlarge(map, height, width, side) {
  const across = taps(width, side), down = taps(height, side);
  const wide = new Float32Array(height * side), out = new Float32Array(side * side);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < side; x++) {
      const [low, high, share] = across[x], a = map[y * width + low], b = map[y * width + high];
      wide[y * side + x] = a + share * (b - a);
    }
  }
  for (let y = 0; y < side; y++) {
    const [low, high, share] = down[y];
    for (let x = 0; x < side; x++) {
      const a = wide[low * side + x], b = wide[high * side + x];
      out[y * side + x] = a + share * (b - a);
    }
  }
  return out;
}

function ends(numbers) {
  let low = Infinity, high = -Infinity;
  for (const v of numbers) { if (v < low) low = v; if (v > high) high = v; }
  return [low, high];
}

/** The smallest and the largest number of all exits' maps that mean anything. */
function sharedEnds(image) {
  if (!image.ends) {
    const maps = mapsOf(image), size = data.height * data.width;
    const each = image.max.map((max, k) => ends(maps.subarray(k * size, (k + 1) * size)).map(v => v * max / 255));
    const sound = each.filter((_, k) => image.status[k] !== "nonfinite");
    image.ends = [Math.min(...sound.map(e => e[0])), Math.max(...sound.map(e => e[1]))];
  }
  return image.ends;
}

/** Draws exit `k` of an image on a canvas; the canvas's own opacity lays it over the photo. */
function drawHeat(canvas, image, k, setting) {
  const maps = mapsOf(image), context = canvas.getContext("2d"), side = canvas.width;
  if (!maps || image.status[k] !== "ok") return context.clearRect(0, 0, side, side);
  const { height, width } = data, size = height * width;
  const heat = enlarge(maps.subarray(k * size, (k + 1) * size), height, width, side);
  let [low, high] = ends(heat);
  if (setting.scale === "shared") [low, high] = sharedEnds(image).map(end => 255 * end / image.max[k]);
  const spread = high - low || 1;
  const picture = context.createImageData(side, side), pixels = picture.data, table = tables[setting.colours];
  for (let i = 0, at = 0; i < heat.length; i++, at += 4) {
    const index = 3 * Math.min(255, Math.max(0, Math.floor(255 * (heat[i] - low) / spread)));
    pixels[at] = table[index]; pixels[at + 1] = table[index + 1]; pixels[at + 2] = table[index + 2];
    pixels[at + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}

const REASONS = { empty: "no positive evidence", constant: "the same everywhere", nonfinite: "not a finite number" };

/** A probability for reading: never 100 % for what is not certain. */
function percent(p) {
  if (p === null) return "–";
  if (p > 0.999 && p < 1) return "> 99.9 %";
  if (p < 0.001 && p > 0) return "< 0.1 %";
  return (100 * p).toFixed(1) + " %";
}

/** right, wrong, or open where nobody knows. */
const verdict = (image, k) => image.label === null ? "open" : image.said[k] === image.label ? "right" : "wrong";

/** Writes what exit `k` says into an element with class says. */
function say(element, image, k) {
  const known = verdict(image, k);
  element.className = "says " + known;
  const label = document.createElement("i"), sure = document.createElement("b");
  label.textContent = data.classes[image.said[k]];
  sure.textContent = percent(image.sure[k]);
  const spoken = document.createElement("span");
  spoken.className = "spoken";
  spoken.textContent = `, exit ${data.exits[k]}${known === "open" ? "" : ", " + known}`;
  element.replaceChildren(label, sure, spoken);
}
