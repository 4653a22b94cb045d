// Parts of a viewer: one exit of an image over its photo, with its prediction; the strip of all exits.
const find = id => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

/** Why there is no heatmap. */
const PLACEHOLDERS = { empty: "no positive evidence", constant: "constant map", nonfinite: "not finite" };

/** A probability as text; never rounds up to 100 %. */
function percent(p) {
  if (p === null) return "–";
  if (p > 0.999 && p < 1) return "> 99.9 %";
  if (p < 0.001 && p > 0) return "< 0.1 %";
  return (100 * p).toFixed(1) + " %";
}

/** right, wrong, or open for an image without a label. */
const verdict = (image, k) => image.label === null ? "open" : image.predicted[k] === image.label ? "right" : "wrong";

/** Writes the prediction of exit `k` into an element of class prediction. */
function showPrediction(element, image, k) {
  const known = verdict(image, k);
  element.className = "prediction " + known;
  element.replaceChildren(
    make("i", { textContent: image.set.classes[image.predicted[k]] }),
    make("b", { textContent: percent(image.probability[k]) }),
    make("span", { className: "spoken", textContent: `, exit ${image.set.exits[k]}${known === "open" ? "" : ", " + known}` }),
  );
}

/** Shows on the photo why there is no heatmap. */
function showPlaceholder(photo, image, k) {
  let placeholder = photo.querySelector(".placeholder");
  if (!placeholder) {
    placeholder = make("span", { className: "placeholder" });
    photo.append(placeholder);
  }
  placeholder.hidden = !(mapsOf(image) || image.pictures) || image.status[k] === "ok";
  placeholder.textContent = placeholder.hidden ? "" : PLACEHOLDERS[image.status[k]] ?? image.status[k];
}

/** Shows what lies below a heatmap, or nothing without a URL. */
function showGround(photo, url) {
  const ground = photo.querySelector("img");
  ground.hidden = !url;
  if (url && ground.getAttribute("src") !== url) ground.src = url;
}

/** Draws exit `k` into an element of class photo: the heatmap over the photo, or the picture of a method for pixels. */
function drawPhoto(photo, image, k, setting) {
  showGround(photo, image.pictures?.[k] ?? image.photo);
  drawHeatmap(photo.querySelector("canvas"), image, k, setting);
}

/** Draws exit `k` of an image: photo, prediction, what the map is, and the slider of exits. */
function drawView({ element, photo, slider }, image, k, setting) {
  const { classes, exits, shown } = image.set;
  slider.max = exits.length - 1;
  slider.value = k;
  slider.setAttribute("aria-valuetext", `exit ${exits[k]}, ${classes[image.predicted[k]]}, ${percent(image.probability[k])}`);
  element.querySelector(".exit-now").textContent = exits[k];
  drawPhoto(photo, image, k, setting);
  showPlaceholder(photo, image, k);
  showPrediction(element.querySelector(".prediction"), image, k);
  const other = image.target[k] !== image.predicted[k];
  const what = mapsOf(image) ? `${shown[k]}, maximum ${image.max[k].toPrecision(3)}` : image.pictures ? "a value of every pixel" : "no map";
  element.querySelector(".target").textContent = other ? `${classes[image.target[k]]}: ${what}` : what;
}

/** Fills the strip with a button for every exit, which calls `choose` with the exit's position. */
function makeFilm(film, image, choose) {
  film.replaceChildren(...image.set.exits.map((exit, k) => {
    const photo = make("span", { className: "photo" }, make("img", { alt: "" }), make("canvas"));
    shape(photo.querySelector("canvas"), 64, image.set.aspect);
    const label = make("i", { textContent: image.set.classes[image.predicted[k]] });
    const button = make("button", { type: "button" }, photo, `${exit}`, label, percent(image.probability[k]));
    button.setAttribute("aria-label", `exit ${exit}: ${label.textContent}, ${percent(image.probability[k])}`);
    button.addEventListener("click", () => choose(k));
    return make("li", { className: verdict(image, k) }, button);
  }));
}

/** Draws every exit of the strip and marks exit `k`. */
function drawFilm(film, image, k, setting) {
  [...film.children].forEach((cell, exit) => {
    cell.firstChild.setAttribute("aria-pressed", exit === k);
    drawPhoto(cell.querySelector(".photo"), image, exit, setting);
  });
}
