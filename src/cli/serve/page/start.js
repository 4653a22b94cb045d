// The page as a whole: both panes, keys, and what the server offers.
const panes = ["a", "b"].map(letter => new Pane(letter));
let active = panes[0];

function comparing() { return !panes[1].element.hidden; }
function activePane() { return comparing() ? active : panes[0]; }

function activate(pane) {
  active = pane;
  for (const each of panes) each.element.classList.toggle("active", comparing() && each === pane);
}

/** Shows a photo in a pane; the first one takes the place of the invitation. */
function showPhoto(photo, pane) {
  const focused = find("welcome").contains(document.activeElement);
  find("welcome").hidden = true;
  find("workplace").hidden = find("actions").hidden = false;
  photo.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (focused) find("choose").focus();
  pane.open(photo);
  showPlaces();
}

/** Marks the thumbnails of the photos that the panes show. */
function showPlaces() {
  const shown = comparing() ? panes : [panes[0]];
  for (const photo of photos) {
    const here = shown.filter(pane => pane.photo === photo);
    photo.button.setAttribute("aria-pressed", here.length > 0);
    photo.button.setAttribute("aria-label", photo.name + (comparing() && here.length ? `, in pane ${here.map(pane => pane.letter.toUpperCase()).join(" and ")}` : ""));
    photo.places.textContent = comparing() ? here.map(pane => pane.letter.toUpperCase()).join(" ") : "";
  }
  for (const pane of panes) pane.showTitle();
}

/** Leaves the controls of maps alone where no pane has maps, and the scale where no pane has several on one. */
function fitAppearance() {
  const shown = (comparing() ? panes : [panes[0]]).filter(pane => pane.image);
  const maps = shown.filter(pane => !pane.image.pictures);
  for (const control of find("appearance").querySelectorAll("[data-set]")) control.disabled = shown.length > 0 && !maps.length;
  find("scale-control").hidden = panes.every(pane => (pane.image?.set.exits.length ?? 1) < 2);
  find("scale").disabled = !maps.some(pane => pane.setting === setting);
}

function compare() {
  if (!panes[0].photo) return;
  const [a, b] = panes, both = !comparing();
  b.element.hidden = !both;
  find("panes").classList.toggle("both", both);
  find("compare").setAttribute("aria-pressed", both);
  if (both) b.copyOf(a); else b.stop();
  activate(both ? b : a);
  showPlaces();
  a.showTitle();
  fitAppearance();
}

/** Goes on to the next good photo of the row in the active pane. */
function nextPhoto(by) {
  const list = goodPhotos(), pane = activePane();
  if (!list.length) return;
  showPhoto(list[(list.indexOf(pane.photo) + by + list.length) % list.length], pane);
}

changed.push(name => {
  for (const pane of comparing() ? panes : [panes[0]]) {
    pane.draw();
    if (name === "threshold") continue;
    const drawn = name !== "opacity" && name !== "colormap";
    pane.askDrawing(drawn && (setting.contours || setting.boxes !== "none") ? 0 : 250);
  }
});

const KEYS = {
  ArrowLeft: () => activePane().step(-1),
  ArrowRight: () => activePane().step(1),
  p: () => nextPhoto(-1),
  n: () => nextPhoto(1),
  c: compare,
  1: () => focusPane(0),
  2: () => focusPane(1),
  o: chooseFiles,
  s: () => change("scale", setting.scale === "own" ? "shared" : "own"),
  "?": toggleHelp,
  Escape: () => activePane().cancel(),
};
function focusPane(i) {
  if (i && !comparing()) return;
  activate(panes[i]);
  const slider = panes[i].part("exit");
  (slider.checkVisibility() ? slider : panes[i].element).focus();
}
function chooseFiles() { find("files").click(); }

addEventListener("keydown", event => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event, act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  // Keys that a field or a list uses itself are its own.
  const types = target.matches?.("textarea, select, [contenteditable], input:not([type=range])");
  const moves = target.type === "range" && event.key.startsWith("Arrow");
  if (!act || ((types || moves) && event.key !== "Escape")) return;
  event.preventDefault();
  act();
});

for (const id of ["choose", "welcome-choose"]) find(id).addEventListener("click", chooseFiles);
find("files").addEventListener("change", () => { addFiles(find("files").files, activePane()); find("files").value = ""; });
find("sample").addEventListener("click", () => addSample(activePane()));
find("compare").addEventListener("click", compare);

find("panes").append(...panes.map(pane => pane.element));
panes[1].element.hidden = true;
addHelp(find("appearance"));
followSettings(find("appearance"));
followFolds(document);

(async () => {
  if (!token) return showNotice(NO_TOKEN);
  try {
    offer = await (await ask("/api/models")).json();
  } catch (error) {
    return showNotice(error.message);
  }
  find("version").textContent = offer.version;
  limit = offer.limits.bytes ?? Infinity;
  setColormaps(offer.colormaps);
  setting.colormap = offer.default_colormap ?? setting.colormap;
  find("colormap").replaceChildren(...Object.keys(tables).map(name => new Option(name)));
  showSetting();
  for (const pane of panes) {
    pane.fill();
    // A photo that was dropped before the server had answered.
    pane.compute();
  }
})();
