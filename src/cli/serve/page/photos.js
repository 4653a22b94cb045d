// The photos of this visit: dropped, pasted or chosen, and a row of thumbnails.
const photos = [];
/** Size of a file in bytes that the server takes. */
let limit = Infinity;
/** Side of a thumbnail in pixels. */
const THUMBNAIL = 112;
/** How long a thumbnail waits for the map, in milliseconds. */
const AFTER_THE_MAP = 300;

/** Adds files to the row, and shows the first good one in `pane`. */
async function addFiles(files, pane) {
  const added = [...files].map(file => addPhoto(file, file.name || "photo"));
  let shown = false;
  for (const photo of added) {
    if (!await check(photo)) continue;
    if (!shown) showPhoto(photo, pane);
    shown = true;
    // The map comes first.
    setTimeout(() => drawThumbnail(photo), AFTER_THE_MAP);
  }
}

/** The built-in sample. */
async function addSample(pane) {
  const photo = photos.find(photo => !photo.file) ?? addPhoto(null, "sample");
  if (await check(photo)) showPhoto(photo, pane);
}

let numbers = 0;
/** A photo of the row; `views` is what the models see of it, by the model's position. */
function addPhoto(file, name) {
  const photo = { file, name, number: numbers++, problem: null, views: new Map() };
  photo.canvas = make("canvas", { width: 1, height: 1 });
  photo.label = make("bdi", { textContent: name });
  photo.places = make("span", { className: "places" });
  photo.button = make("button", { type: "button", className: "thumb", title: name }, make("span", { className: "thumb-photo" }, photo.canvas, photo.places), photo.label);
  photo.button.addEventListener("click", () => showPhoto(photo, activePane()));
  photo.item = make("li", {}, photo.button);
  photos.push(photo);
  find("photos").append(photo.item);
  find("photos").hidden = false;
  return photo;
}

/** Sends a photo, so that a bad one is known to be; whether it is good. */
async function check(photo) {
  try {
    if (photo.file && photo.file.size > limit) throw new Refusal(`${photo.name}: ${megabytes(photo.file.size)}, and the limit is ${megabytes(limit)}`, 413);
    const known = await identify(photo);
    photo.name = known.name;
    photo.label.textContent = photo.button.title = known.name;
    photo.size = `${known.width} × ${known.height}`;
    return true;
  } catch (error) {
    fail(photo, error);
    return false;
  }
}
const megabytes = bytes => (bytes / 1e6).toFixed(1) + " MB";

/** Puts a line about a bad photo in its place in the row. */
function fail(photo, error) {
  photo.problem = error.message.startsWith(photo.name) ? error.message : `${photo.name}: ${error.message}`;
  const dismiss = make("button", { type: "button", textContent: "✕" });
  dismiss.setAttribute("aria-label", `Dismiss ${photo.name}`);
  dismiss.addEventListener("click", () => {
    photos.splice(photos.indexOf(photo), 1);
    photo.item.remove();
    find("photos").hidden = photos.length === 0;
    find(find("welcome").hidden ? "choose" : "welcome-choose").focus();
  });
  photo.item.className = "failed";
  photo.item.replaceChildren(make("p", { textContent: photo.problem }), dismiss);
  say(photo.problem);
}

/** Draws the thumbnail from the file or, where the browser cannot read that, from `url`. */
async function drawThumbnail(photo, url) {
  if (photo.canvas.width > 1) return;
  const fromUrl = async () => {
    if (!url) throw new Error("no picture");
    const image = Object.assign(new Image(), { src: url });
    await image.decode();
    return createImageBitmap(image);
  };
  try {
    const bitmap = photo.file ? await createImageBitmap(photo.file).catch(fromUrl) : await fromUrl();
    const side = Math.min(bitmap.width, bitmap.height), [x, y] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
    photo.canvas.width = photo.canvas.height = THUMBNAIL;
    photo.canvas.getContext("2d").drawImage(bitmap, x, y, side, side, 0, 0, THUMBNAIL, THUMBNAIL);
    bitmap.close();
  } catch { /* The name below the empty thumbnail is enough. */ }
}

const goodPhotos = () => photos.filter(photo => !photo.problem);

// Drop, paste, choose.
const hasFiles = event => event.dataTransfer?.types.includes("Files");
let leaving, pasted = 0;
addEventListener("dragover", event => {
  // A link that is dropped would replace the page.
  event.preventDefault();
  event.dataTransfer.dropEffect = hasFiles(event) ? "copy" : "none";
  if (!hasFiles(event)) return;
  document.body.classList.add("dropping");
  clearTimeout(leaving);
  leaving = setTimeout(() => document.body.classList.remove("dropping"), 300);
});
addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (!hasFiles(event)) return;
  const pane = panes.find(pane => pane.element === event.target.closest?.(".pane"));
  addFiles(event.dataTransfer.files, pane ?? activePane());
});
addEventListener("paste", event => {
  const files = [...event.clipboardData?.files ?? []];
  if (!files.length) return;
  event.preventDefault();
  // Browsers call every picture of the clipboard so.
  addFiles(files.map(file => file.name === "image.png" ? new File([file], `pasted-${++pasted}.png`, { type: file.type }) : file), activePane());
});
