// The gallery: one exit for all images, filters, keys.
document.documentElement.classList.add("js");
const data = JSON.parse(find("data").textContent);
setColormaps(data.colormaps);
for (const canvas of document.querySelectorAll("canvas[data-longer]")) shape(canvas, Number(canvas.dataset.longer), data.aspect);
const setting = { exit: data.exits.length - 1, opacity: 50, colormap: data.initial_colormap, scale: "own" };
const tiles = [...find("tiles").children];
const places = new Map(tiles.map((tile, i) => [tile, i]));
const links = tiles.map(tile => tile.querySelector("a"));
let shown = tiles.map((_, i) => i);

// The set of every image, and values that the filters test.
for (const image of data.images) {
  image.set = data;
  const right = image.predicted.map(predicted => predicted === image.label);
  image.hardness = right.filter(Boolean).length;
  image.first = right.indexOf(true);
  image.group = image.label === null ? image.predicted.at(-1) : image.label;
  const classes = [image.label, ...image.predicted].filter(c => c !== null).map(c => data.classes[c]);
  image.words = [image.name, ...classes].join("\n").toLowerCase();
}

// Only tiles near the viewport are drawn.
const near = new Set();
const watcher = new IntersectionObserver(entries => {
  for (const entry of entries) {
    const i = places.get(entry.target);
    if (entry.isIntersecting) { near.add(i); drawTile(i); } else near.delete(i);
  }
}, { rootMargin: "300px" });

function drawTile(i) {
  const image = data.images[i], photo = links[i].querySelector(".photo"), k = setting.exit;
  let canvas = photo.querySelector("canvas");
  if (!canvas) {
    canvas = make("canvas");
    shape(canvas, 96, data.aspect);
    photo.append(canvas);
    links[i].append(make("span", { className: "prediction" }));
  }
  drawHeatmap(canvas, image, k, setting);
  showPlaceholder(photo, image, k);
  showPrediction(links[i].querySelector(".prediction"), image, k);
  const track = tiles[i].querySelector(".track").children;
  for (let e = 0; e < track.length; e++) track[e].classList.toggle("now", e === k);
}

const redraw = () => near.forEach(drawTile);

function setExit(k) {
  setting.exit = Math.min(Math.max(k, 0), data.exits.length - 1);
  find("exit").value = setting.exit;
  find("exit").setAttribute("aria-valuetext", "exit " + data.exits[setting.exit]);
  find("exit-now").textContent = data.exits[setting.exit];
  redraw();
}

// The controls of the bar and of the viewer share their settings.
const changed = [redraw];
for (const control of document.querySelectorAll("[data-set]")) {
  control.addEventListener("input", () => {
    const name = control.dataset.set;
    setting[name] = name === "opacity" ? Number(control.value) : control.value;
    changed.forEach(update => update());
    showSetting();
  });
}
function showSetting() {
  for (const control of document.querySelectorAll("[data-set]")) control.value = setting[control.dataset.set];
  document.documentElement.style.setProperty("--heatmap-opacity", setting.opacity / 100);
}

// Filters.
function options(select, first, list) {
  const add = (value, text) => select.append(new Option(text, value));
  add("", first);
  for (const [value, text, test] of list) {
    const count = data.images.filter(test).length;
    if (count) add(value, `${text} (${count})`);
  }
}
options(find("by-class"), "all", data.classes.map((name, c) => [c, name, image => image.group === c]));
if (find("by-hardness")) {
  const exits = data.exits.length;
  const labeled = image => image.label !== null;
  options(find("by-hardness"), "any", exits === 1 ? [
    ["1", "right", image => image.hardness === 1],
    ["0", "wrong", image => labeled(image) && image.hardness === 0],
  ] : [
    ["all", "right at every exit", image => labeled(image) && image.hardness === exits],
    ["some", "right at some exits", image => image.hardness > 0 && image.hardness < exits],
    ["0", "right at no exit", image => labeled(image) && image.hardness === 0],
    ...Array.from({ length: exits - 1 }, (_, n) => [n + 1, `right at ${n + 1} of ${exits}`, image => image.hardness === n + 1]),
  ]);
  options(find("by-first"), "any", [
    ...data.exits.map((exit, k) => [k, `exit ${exit}`, image => image.first === k]),
    ["never", "never", image => labeled(image) && image.first < 0],
  ]);
}
function wanted() {
  const value = id => find(id)?.value ?? "";
  const [group, hardness, first, name] = [value("by-class"), value("by-hardness"), value("by-first"), value("by-name").trim().toLowerCase()];
  const exits = data.exits.length;
  const hard = {
    "": () => true,
    all: image => image.hardness === exits,
    some: image => image.hardness > 0 && image.hardness < exits,
  }[hardness] ?? (image => image.hardness === Number(hardness));
  return image => (group === "" || image.group === Number(group)) && hard(image) && (hardness === "" || image.label !== null)
    && (first === "" || (image.label !== null && image.first === (first === "never" ? -1 : Number(first))))
    && image.words.includes(name);
}
function filter() {
  const test = wanted();
  shown = [];
  data.images.forEach((image, i) => {
    const keep = test(image);
    if (tiles[i].hidden === keep) tiles[i].hidden = !keep;
    if (keep) shown.push(i);
  });
  const number = make("b", { textContent: shown.length.toLocaleString("en") });
  find("count").replaceChildren(number, ` of ${data.images.length.toLocaleString("en")} images`);
  stopAt(shown[0]);
}
for (const id of ["by-class", "by-hardness", "by-first", "by-name"]) find(id)?.addEventListener("input", filter);
find("exit").addEventListener("input", () => setExit(Number(find("exit").value)));

// Tab focuses one image; the arrow keys move on from there.
function stopAt(i) {
  for (const link of links) if (link.tabIndex === 0) link.tabIndex = -1;
  if (i !== undefined) links[i].tabIndex = 0;
}
find("tiles").addEventListener("keydown", event => {
  const i = links.indexOf(event.target), at = shown.indexOf(i);
  if (at < 0) return;
  const top = tiles[i].offsetTop;
  const row = shown.filter(j => tiles[j].offsetTop === top).length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row, Home: -at, End: shown.length - 1 - at }[event.key];
  if (event.key === " ") { event.preventDefault(); openViewer(i); }
  if (step === undefined) return;
  event.preventDefault();
  const next = shown[Math.min(Math.max(at + step, 0), shown.length - 1)];
  stopAt(next);
  links[next].focus();
});
find("tiles").addEventListener("click", event => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openViewer(links.indexOf(link));
});
