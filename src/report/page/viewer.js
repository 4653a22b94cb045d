// Viewer of one image: an exit slider, two exits side by side, and a strip of all exits.
const viewer = find("viewer");
const views = ["view-a", "view-b"].map(id => {
  const element = find(id);
  return { element, photo: element.querySelector(".photo"), slider: element.querySelector("input"), exit: 0 };
});
let open = -1;

function openViewer(i) {
  if (open < 0) { views[0].exit = setting.exit; views[1].exit = setting.exit === 0 ? data.exits.length - 1 : 0; }
  open = i;
  const image = data.images[i], source = links[i].querySelector("img");
  for (const { photo } of views) {
    photo.querySelector("img").src = source ? source.src : "";
    photo.querySelector("img").hidden = !source;
  }
  const label = document.createElement("span");
  label.textContent = (image.label === null ? "" : ` · ${data.classes[image.label]}`) + ` · ${shown.indexOf(i) + 1} of ${shown.length}`;
  const name = Object.assign(document.createElement("bdi"), { textContent: image.name });
  find("viewer-name").replaceChildren(name, label);
  drawFilm(image);
  drawViews();
  if (!viewer.open) { viewer.showModal(); (data.exits.length < 2 ? find("next") : views[0].slider).focus(); }
}

function drawViews() {
  const image = data.images[open];
  for (const { element, photo, slider, exit } of views) {
    slider.value = exit;
    slider.setAttribute("aria-valuetext", `exit ${data.exits[exit]}, ${data.classes[image.predicted[exit]]}, ${percent(image.probability[exit])}`);
    element.querySelector(".control b").textContent = data.exits[exit];
    drawHeatmap(photo.querySelector("canvas"), image, exit, setting);
    showPlaceholder(photo, image, exit);
    showPrediction(element.querySelector(".prediction"), image, exit);
    const other = image.target[exit] !== image.predicted[exit];
    const largest = mapsOf(image) ? `${data.shown[exit]}, maximum ${image.max[exit].toPrecision(3)}` : "no map";
    element.querySelector(".target").textContent = other ? `${data.classes[image.target[exit]]}: ${largest}` : largest;
  }
  [...find("film").children].forEach((cell, k) => {
    cell.firstChild.setAttribute("aria-pressed", k === views[0].exit);
    drawHeatmap(cell.querySelector("canvas"), image, k, setting);
  });
}
changed.push(() => { if (viewer.open) drawViews(); });

function drawFilm(image) {
  const source = links[open].querySelector("img");
  find("film").replaceChildren(...data.exits.map((exit, k) => {
    const cell = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    cell.className = verdict(image, k);
    const photo = Object.assign(document.createElement("span"), { className: "photo" });
    const canvas = document.createElement("canvas");
    shape(canvas, 64);
    if (source) photo.append(Object.assign(new Image(), { src: source.src, alt: "" }));
    photo.append(canvas);
    const label = Object.assign(document.createElement("i"), { textContent: data.classes[image.predicted[k]] });
    button.append(photo, `${exit}`, label, percent(image.probability[k]));
    button.addEventListener("click", () => choose(0, k));
    cell.append(button);
    return cell;
  }));
}

function choose(view, k) {
  views[view].exit = Math.min(Math.max(k, 0), data.exits.length - 1);
  drawViews();
}
views.forEach((view, v) => view.slider.addEventListener("input", () => choose(v, Number(view.slider.value))));

function go(step) {
  const next = shown[shown.indexOf(open) + step];
  if (next === undefined) return;
  stopAt(next);
  openViewer(next);
}
function compare() {
  if (data.exits.length < 2) return;
  const both = views[1].element.hidden;
  views[1].element.hidden = !both;
  find("compare").setAttribute("aria-pressed", both);
}
find("compare").addEventListener("click", compare);
find("previous").addEventListener("click", () => go(-1));
find("next").addEventListener("click", () => go(1));
find("close").addEventListener("click", () => viewer.close());
viewer.addEventListener("click", event => { if (event.target === viewer) viewer.close(); });
viewer.addEventListener("close", () => { links[open].focus(); open = -1; });
viewer.addEventListener("keydown", event => {
  const inSlider = event.target.type === "range", inSelect = event.target.tagName === "SELECT";
  if (inSelect || event.ctrlKey || event.metaKey || event.altKey) return;
  const own = { ArrowLeft: () => choose(0, views[0].exit - 1), ArrowRight: () => choose(0, views[0].exit + 1) };
  const always = { ArrowUp: () => go(-1), ArrowDown: () => go(1), c: compare, C: compare };
  const act = always[event.key] ?? (inSlider ? undefined : own[event.key]);
  if (act) { event.preventDefault(); act(); }
});

showSetting();
setExit(setting.exit);
filter();
tiles.forEach(tile => watcher.observe(tile));
