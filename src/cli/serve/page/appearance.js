// Settings that both panes share, and what is said on demand about every control.
const setting = { colormap: "viridis", opacity: 50, scale: "own", contours: "", boxes: "none", threshold: 90 };

/** Called with the name of a setting that has changed. */
const changed = [];

/** Keeps the controls inside `root` and the settings the same. */
function followSettings(root) {
  for (const control of root.querySelectorAll("[data-set]")) {
    control.addEventListener("input", () => change(control.dataset.set, control.type === "range" ? Number(control.value) : control.value));
  }
}
function change(name, value) {
  setting[name] = value;
  showSetting();
  changed.forEach(update => update(name));
}
function showSetting() {
  for (const control of document.querySelectorAll("[data-set]")) {
    const { set } = control.dataset;
    if (control.value !== String(setting[set])) control.value = setting[set];
    if (control.type === "range") control.setAttribute("aria-valuetext", setting[set] + " %");
  }
  document.documentElement.style.setProperty("--heatmap-opacity", setting.opacity / 100);
  const table = tables[setting.colormap], context = find("legend").getContext("2d");
  if (!table) return;
  const colors = context.createImageData(256, 1);
  for (let i = 0; i < 256; i++) colors.data.set([table[3 * i], table[3 * i + 1], table[3 * i + 2], 255], 4 * i);
  context.putImageData(colors, 0, 0);
}

/** Gives every control with a help text a button that shows the text. */
function addHelp(root) {
  for (const help of root.querySelectorAll(".help")) {
    const label = help.parentElement.querySelector("label");
    const button = make("button", { type: "button", className: "why", textContent: "?" });
    button.setAttribute("aria-label", `What “${label.firstChild.textContent.trim()}” means`);
    button.setAttribute("aria-controls", help.id);
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => showHelp(help, help.hidden));
    const caption = make("span", { className: "caption" });
    label.before(caption);
    caption.append(label, button);
  }
}
function showHelp(help, shown) {
  help.hidden = !shown;
  help.parentElement.querySelector(".why").setAttribute("aria-expanded", shown);
}
/** Shows what all controls mean, or hides it if all of it is shown. */
function toggleHelp() {
  const all = [...document.querySelectorAll(".help")], shown = all.some(help => help.hidden);
  all.forEach(help => showHelp(help, shown));
}

/** Lets the buttons inside `root` that small screens have unfold what they name. */
function followFolds(root) {
  for (const button of root.querySelectorAll(".fold")) {
    const folded = document.getElementById(button.getAttribute("aria-controls")) ?? root.querySelector("#" + button.getAttribute("aria-controls"));
    button.addEventListener("click", () => button.setAttribute("aria-expanded", !folded.classList.toggle("folded")));
  }
}

/** Says something to users of screen readers. */
const say = text => { find("said").textContent = text; };
