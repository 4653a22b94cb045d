// Heatmaps: an exit's activation map resized, scaled and colored as msdcam does.
// What all images of a run share is their `set`: exits, classes, aspect, sizes and names of the maps. A page that uses
// these functions gives every image its set, and sets the tables of colors before it draws.
"use strict";

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));

/** Tables of 256 RGB colors by name. */
let tables = {};
/** Sets the tables from their bytes in base64. */
function setColormaps(colormaps) {
  tables = Object.fromEntries(Object.entries(colormaps).map(([name, text]) => [name, bytes(text)]));
}

/** Bytes of an image's maps, one after another; decoded on first use. */
function mapsOf(image) {
  if (!image.decoded && image.maps) image.decoded = bytes(image.maps);
  return image.decoded;
}

/** Map of exit `k` of an image that has maps: height, width and bytes. */
function mapOf(image, k) {
  const { sizes } = image.set, [height, width] = sizes[k];
  const before = sizes.slice(0, k).reduce((sum, [h, w]) => sum + h * w, 0);
  return [height, width, mapsOf(image).subarray(before, before + height * width)];
}

/** Gives a canvas the aspect ratio of the photos; its longer side has `longer` pixels. */
function shape(canvas, longer, aspect) {
  canvas.width = Math.max(1, Math.round(longer * Math.min(1, aspect)));
  canvas.height = Math.max(1, Math.round(longer / Math.max(1, aspect)));
}

/** Input indices and weight of each output position: half-pixel centers, edges repeated. */
function taps(from, to) {
  const list = [];
  for (let i = 0; i < to; i++) {
    const at = Math.max((from / to) * (i + 0.5) - 0.5, 0);
    const low = Math.min(Math.floor(at), from - 1);
    list.push([low, Math.min(low + 1, from - 1), Math.min(at - low, 1)]);
  }
  return list;
}

/** Bilinear resize to rows x columns: rows are resized once, then interpolated in pairs. */
function enlarge(map, height, width, rows, columns) {
  const across = taps(width, columns), down = taps(height, rows);
  const wide = new Float32Array(height * columns), out = new Float32Array(rows * columns);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < columns; x++) {
      const [low, high, share] = across[x], a = map[y * width + low], b = map[y * width + high];
      wide[y * columns + x] = a + share * (b - a);
    }
  }
  for (let y = 0; y < rows; y++) {
    const [low, high, share] = down[y];
    for (let x = 0; x < columns; x++) {
      const a = wide[low * columns + x], b = wide[high * columns + x];
      out[y * columns + x] = a + share * (b - a);
    }
  }
  return out;
}

/** Minimum and maximum. */
function range(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
  return [low, high];
}

/** Minimum and maximum over all exits' finite maps. */
function sharedRange(image) {
  if (!image.range) {
    const each = image.max.map((max, k) => range(mapOf(image, k)[2]).map(v => v * max / 255));
    const finite = each.filter((_, k) => image.status[k] !== "nonfinite");
    image.range = [Math.min(...finite.map(e => e[0])), Math.max(...finite.map(e => e[1]))];
  }
  return image.range;
}

/** Draws the heatmap of exit `k` on a canvas, which CSS lays over the photo. */
function drawHeatmap(canvas, image, k, setting) {
  const context = canvas.getContext("2d"), rows = canvas.height, columns = canvas.width;
  if (!mapsOf(image) || image.status[k] !== "ok") return context.clearRect(0, 0, columns, rows);
  const [height, width, map] = mapOf(image, k);
  const heatmap = enlarge(map, height, width, rows, columns);
  let [low, high] = range(heatmap);
  if (setting.scale === "shared") [low, high] = sharedRange(image).map(end => 255 * end / image.max[k]);
  const spread = high - low || 1;
  const picture = context.createImageData(columns, rows), pixels = picture.data, table = tables[setting.colormap];
  for (let i = 0, at = 0; i < heatmap.length; i++, at += 4) {
    const index = 3 * Math.min(255, Math.max(0, Math.floor(255 * (heatmap[i] - low) / spread)));
    pixels[at] = table[index]; pixels[at + 1] = table[index + 1]; pixels[at + 2] = table[index + 2];
    pixels[at + 3] = 255;
  }
  context.putImageData(picture, 0, 0);
}
