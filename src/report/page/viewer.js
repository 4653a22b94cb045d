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
  const image = data.images[i];
  image.photo = links[i].querySelector("img")?.src;
  const about = (image.label === null ? "" : ` · ${data.classes[image.label]}`) + ` · ${shown.indexOf(i) + 1} of ${shown.length}`;
  find("viewer-name").replaceChildren(make("bdi", { textContent: image.name }), make("span", { textContent: about }));
  makeFilm(find("film"), image, k => choose(0, k));
  drawViews();
  if (!viewer.open) { viewer.showModal(); (data.exits.length < 2 ? find("next") : views[0].slider).focus(); }
}

function drawViews() {
  const image = data.images[open];
  for (const view of views) drawView(view, image, view.exit, setting);
  drawFilm(find("film"), image, views[0].exit, setting);
}
changed.push(() => { if (viewer.open) drawViews(); });

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
