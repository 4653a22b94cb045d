// A pane: a photo, what is asked about it, and the answer at one exit.
const SVG = "http://www.w3.org/2000/svg";
/** Longer side of the large heatmap in pixels. */
const LARGE = 256;

/** What the server offers. */
let offer = { models: [], methods: [], scores: [], colormaps: {}, limits: {} };

class Pane {
  constructor(letter) {
    this.letter = letter;
    this.element = find("pane").content.firstElementChild.cloneNode(true);
    // Both panes come from one template, and every id exists once.
    const ids = ["id", "for", "aria-describedby", "aria-labelledby", "aria-controls"];
    for (const element of [this.element, ...this.element.querySelectorAll("*")]) {
      for (const name of ids) {
        const value = element.getAttribute(name);
        if (value) element.setAttribute(name, value.split(" ").map(id => `${id}-${letter}`).join(" "));
      }
    }
    this.part = name => this.element.querySelector(`#${name}-${letter}`);
    this.picture = this.part("picture");
    this.view = { element: this.element, photo: this.picture, slider: this.part("exit") };
    this.asks = { model: 0, method: "grad-cam", tap: null, class: "predicted", score: "logit", smooth: "none" };
    this.exit = Infinity;
    this.photo = this.result = this.image = this.drawing = this.late = null;
    addHelp(this.element);
    followSettings(this.element);
    this.classes = makeCombobox(this.part("class"), this.part("classes"), value => this.set("class", value));
    this.listen();
  }

  listen() {
    for (const control of this.element.querySelectorAll("[data-ask]")) {
      control.addEventListener("input", () => this.set(control.dataset.ask, control.dataset.ask === "model" ? Number(control.value) : control.value));
    }
    this.part("photo").addEventListener("input", event => showPhoto(photos.find(photo => photo.number === Number(event.target.value)), this));
    this.part("exit").addEventListener("input", event => this.choose(Number(event.target.value)));
    this.part("cancel").addEventListener("click", () => this.cancel());
    this.part("again").addEventListener("click", () => this.compute());
    for (const button of this.element.querySelectorAll("[data-kind]")) button.addEventListener("click", () => this.save(button));
    this.part("copy").addEventListener("click", () => this.copy());
    for (const event of ["focusin", "pointerdown"]) this.element.addEventListener(event, () => activate(this));
  }

  get model() { return offer.models[this.asks.model]; }
  get method() { return offer.methods.find(method => method.name === this.asks.method); }

  /** Fills the lists with what the server offers. */
  fill() {
    const options = (name, list) => this.part(name).replaceChildren(...list.map(([value, text]) => new Option(text, value)));
    options("model", offer.models.map((model, i) => [i, model.name]));
    options("score", offer.scores.map(score => [score.name, score.name]));
    const groups = [["map", "Maps"], ["pixels", "Pixels"]].map(([kind, label]) => {
      const group = make("optgroup", { label });
      group.append(...offer.methods.filter(m => m.kind === kind).map(m => new Option(m.title + (m.slow ? " (slow)" : ""), m.name)));
      return group;
    });
    this.part("method").replaceChildren(...groups.filter(group => group.children.length));
    this.part("model-control").hidden = offer.models.length < 2;
    this.adapt();
  }

  /** Fits the settings to the model, and shows them. */
  adapt() {
    const { model, asks } = this, methods = offer.methods.map(m => m.name), scores = offer.scores.map(s => s.name);
    if (!model.taps.includes(asks.tap)) asks.tap = model.taps[0];
    if (!methods.includes(asks.method)) asks.method = methods[0];
    if (!scores.includes(asks.score)) asks.score = scores[0];
    // A class chosen by its name stays where the model has it, and comes back with a model that does.
    const same = this.className === undefined ? -1 : model.classes.indexOf(this.className);
    if (same >= 0) asks.class = String(same);
    else if (asks.class !== "final" || model.exits.length < 2) asks.class = "predicted";
    this.part("tap").replaceChildren(...model.taps.map((tap, i) => new Option(i ? tap : model.exits.length > 1 ? "each exit's own" : "the exit's own", tap)));
    this.classes.set([
      { value: "predicted", text: model.exits.length > 1 ? "each exit's prediction" : "prediction" },
      ...(model.exits.length > 1 ? [{ value: "final", text: "last exit's prediction" }] : []),
      ...model.classes.map((text, i) => ({ value: String(i), text, number: i })),
    ], asks.class);
    this.showAsks();
  }

  showAsks() {
    const { asks, method } = this;
    for (const control of this.element.querySelectorAll("[data-ask]")) control.value = asks[control.dataset.ask];
    this.part("model-help").textContent = this.model.about;
    this.part("method-about").textContent = method.about;
    this.part("method-formula").textContent = method.formula;
    this.part("method-paper").textContent = method.paper;
    this.part("method-caution").textContent = method.caution ?? "";
    this.part("method-caution").hidden = !method.caution;
    this.part("score-about").textContent = offer.scores.find(score => score.name === asks.score)?.about ?? "";
    this.part("smooth").disabled = method.kind === "pixels";
    this.showTitle();
  }

  showTitle() {
    const name = make("bdi", { textContent: this.photo?.name ?? "no photo" });
    this.part("title").replaceChildren(make("b", { textContent: this.letter.toUpperCase(), hidden: !comparing() }), name, this.photo?.size ? ` · ${this.photo.size}` : "");
    const list = goodPhotos();
    this.part("photo-control").hidden = !comparing() || list.length < 2;
    this.part("photo").replaceChildren(...list.map(photo => new Option(photo.name, photo.number, false, photo === this.photo)));
  }

  /** Takes over another pane's photo, settings and result. */
  copyOf(other) {
    Object.assign(this.asks, other.asks);
    this.photo = other.photo;
    this.className = other.className;
    this.adapt();
    this.image = null;
    this.exit = other.exit === 0 ? Infinity : 0;
    this.compute();
  }

  set(name, value) {
    this.asks[name] = value;
    if (name === "class") this.className = this.model.classes[value];
    if (name === "model") this.adapt(); else this.showAsks();
    this.compute();
  }

  open(photo) {
    this.photo = photo;
    this.showTitle();
    this.compute();
  }

  /** What the server is asked about the photo. */
  about() { return { ...this.asks, smooth: this.method.kind === "pixels" ? "none" : this.asks.smooth }; }

  /** Asks the server and shows its answer; a request that is under way ends. */
  async compute() {
    this.abort();
    if (!this.photo || !this.model) return this.idle();
    const { photo, method, model } = this, asked = { photo, method, model };
    const controller = this.controller = new AbortController(), { signal } = controller;
    this.problem(null);
    this.element.setAttribute("aria-busy", "true");
    this.showCommand("");
    this.part("progress").removeAttribute("value");
    // The frame has its place before there is a map.
    if (!this.image) this.element.style.setProperty("--aspect", this.model.aspect);
    // From the first change that has no answer yet: changes in quick succession do not put it off.
    this.late ??= setTimeout(() => { this.stale(true); this.progress(); }, 250);
    try {
      const result = await explainOnce(photo, this.about(), signal, (done, total) => { if (!signal.aborted) this.progress(done, total); });
      if (signal.aborted) return;
      this.idle();
      this.show(result, asked);
    } catch (error) {
      if (signal.aborted) return;
      this.stale(true);
      // What the program refuses it refuses again.
      this.problem(error.message, error.status >= 400 && error.status < 500 ? null : "Try again");
    } finally {
      if (this.controller === controller) this.idle();
    }
  }

  /** Ends the requests that are under way. */
  abort() {
    this.controller?.abort();
    this.outline?.abort();
  }

  /** As `abort`, without another request to follow. */
  stop() {
    this.abort();
    this.idle();
  }

  idle() {
    clearTimeout(this.late);
    this.late = this.controller = null;
    this.element.setAttribute("aria-busy", "false");
    this.part("busy").hidden = true;
    this.part("progress").removeAttribute("value");
  }

  cancel() {
    if (!this.controller) return;
    const here = document.activeElement === this.part("cancel");
    this.stop();
    this.stale(true);
    this.problem("Cancelled: this map was not computed.", "Compute");
    if (here) this.part("again").focus();
  }

  /** Shows how much is done; without numbers, that something is. */
  progress(done, total) {
    const bar = this.part("progress"), text = total ? `${done} of ${total}` : "Computing";
    if (this.part("busy").hidden) say("Computing");
    this.part("busy").hidden = false;
    if (total) {
      bar.max = total;
      bar.value = done;
    }
    bar.setAttribute("aria-valuetext", text);
    this.part("progress-text").textContent = text;
  }

  /** Shows that the answer is not the one to what is asked now: the photo alone, if its view has been seen. */
  stale(is) {
    this.isStale = is;
    this.element.classList.toggle("stale", is);
    if (!is) return;
    this.showCommand("");
    this.element.style.setProperty("--aspect", this.model.aspect);
    showGround(this.picture, this.photo.views.get(this.asks.model));
  }

  problem(text, act) {
    this.part("problem").hidden = !text;
    this.part("problem").firstElementChild.textContent = text ?? "";
    this.part("again").textContent = act ?? "";
    this.part("again").hidden = !act;
  }

  /** Shows an answer to what was asked: of a photo, by a method and a model. */
  show(result, asked) {
    const before = this.image?.set.exits, { photo } = asked;
    this.result = result;
    this.asked = asked;
    this.image = Object.assign(result.image, { set: result.set, photo: result.photo, pictures: result.pictures });
    this.drawing = null;
    photo.views.set(offer.models.indexOf(asked.model), result.photo);
    const { image } = this, { exits, aspect } = image.set, several = exits.length > 1;
    // Another model's last exit follows the last exit; other exits keep their number where it exists.
    if (before && this.exit === before.length - 1) this.exit = Infinity;
    else if (before && exits.includes(before[this.exit])) this.exit = exits.indexOf(before[this.exit]);
    this.exit = Math.min(this.exit, exits.length - 1);
    this.element.style.setProperty("--aspect", aspect);
    shape(this.picture.querySelector("canvas"), LARGE, aspect);
    for (const name of ["exit-control", "early-exit", "film"]) this.part(name).hidden = !several;
    makeFilm(this.part("film"), image, k => this.choose(k));
    makeChart(this.part("bars"), this.part("runs"), image, k => this.choose(k));
    this.stale(false);
    this.element.classList.add("drawn");
    this.draw();
    this.say();
    fitAppearance();
    drawThumbnail(photo, result.photo);
    this.askDrawing(setting.contours || setting.boxes !== "none" ? 0 : 150);
  }

  choose(k) {
    if (!this.image) return;
    this.exit = Math.min(Math.max(k, 0), this.image.set.exits.length - 1);
    this.draw();
  }

  /** As `choose`, for keys that are pressed outside of a control, which says nothing itself. */
  step(by) {
    if (!this.image) return;
    this.choose(this.exit + by);
    this.say();
  }

  say() {
    const { image, exit } = this, { classes, exits } = image.set;
    say(`${image.name}, ${this.asked.method.title}, exit ${exits[exit]}: ${classes[image.predicted[exit]]}, ${percent(image.probability[exit])}`);
  }

  draw() {
    const { image, exit, result } = this;
    if (!image) return;
    const { classes, exits } = image.set, { model, method } = this.asked;
    // At a tap that not every exit depends on, early exit has no meaning.
    const whole = exits.length === model.exits.length, threshold = whole ? setting.threshold / 100 : Infinity;
    this.part("threshold-now").textContent = setting.threshold + " %";
    this.part("threshold").parentElement.hidden = !whole;
    this.part("saved").hidden = model.exits.length < 2;
    this.part("saved").textContent = whole ? whatIsSaved(image, model.shares, threshold)
      : `Only exit${exits.length > 1 ? "s" : ""} ${exits.join(", ")} depend${exits.length > 1 ? "" : "s"} on this tap.`;
    drawChart(this.part("bars"), image, exit, threshold);
    if (this.isStale) return;
    drawView(this.view, image, exit, this.setting);
    drawFilm(this.part("film"), image, exit, this.setting);
    for (const now of this.element.querySelectorAll(".exit-now")) now.textContent = exits[exit];
    this.picture.setAttribute("aria-label", `${image.name}: ${method.title} at exit ${exits[exit]} for ${classes[image.target[exit]]}`
      + (image.status[exit] === "ok" ? "" : `, ${PLACEHOLDERS[image.status[exit]] ?? image.status[exit]}`));
    this.part("top").replaceChildren(...result.top[exit].map(([c, p]) => {
      const row = make("li", { className: c === image.target[exit] ? "explained" : "" }, make("i", { textContent: classes[c], title: classes[c] }), make("b", { textContent: percent(p) }));
      row.style.setProperty("--p", p ?? 0);
      return row;
    }));
    this.drawOutlines();
  }

  // Contour lines, the box and the command line, which the server knows.

  /** What the server is asked for drawings and downloads. */
  look() {
    const { colormap, opacity, scale, contours, boxes } = this.setting, about = this.about();
    // Pixel methods have colors of their own.
    if (this.method.kind === "pixels") return about;
    return { ...about, colormap, opacity: opacity / 100, scale, contours: contours !== "", boxes };
  }

  /** The settings of drawing: each smoothed map has a scale of its own. */
  get setting() { return this.about().smooth === "none" ? setting : { ...setting, scale: "own" }; }

  askDrawing(after) {
    this.outline?.abort();
    // What is computed has no drawing yet.
    if (!this.image || this.isStale || this.controller) return;
    this.showCommand("");
    const { photo, image } = this, { signal } = this.outline = new AbortController();
    (async () => {
      if (after) await pause(after, signal);
      const drawing = await (await askAbout(photo, "/api/drawing", this.look(), signal)).json();
      if (signal.aborted || image !== this.image) return;
      this.drawing = drawing;
      this.problem(null);
      this.showCommand(drawing.command);
      this.drawOutlines();
    })().catch(error => {
      if (signal.aborted) return;
      this.drawing = null;
      this.drawOutlines();
      this.problem(error.message, "Try again");
    });
  }

  /** The command, or none while it is not known. */
  showCommand(text) {
    this.part("command").textContent = text || "…";
    this.part("copy").disabled = !text;
  }

  drawOutlines() {
    this.picture.querySelector("svg")?.remove();
    const { drawing, exit } = this, path = drawing?.contours?.[exit], box = drawing?.boxes?.[exit];
    const [lines, boxed] = [setting.contours && path, setting.boxes !== "none" && box];
    if (!lines && !boxed) return;
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${drawing.size.join(" ")}`);
    svg.setAttribute("preserveAspectRatio", "none");
    const add = (tag, attributes) => {
      // A light line between dark edges can be seen on any photo.
      for (const layer of ["edge", "light"]) {
        const shape = document.createElementNS(SVG, tag);
        for (const [name, value] of Object.entries({ ...attributes, class: layer })) shape.setAttribute(name, value);
        svg.append(shape);
      }
    };
    if (lines) add("path", { d: lines });
    if (boxed) add("rect", { x: box[0], y: box[1], width: box[2], height: box[3] });
    this.picture.append(svg);
  }

  async save(button) {
    const problem = this.part("download-problem");
    if (!this.image || this.isStale || button.getAttribute("aria-disabled") === "true") return;
    problem.hidden = true;
    button.setAttribute("aria-disabled", "true");
    try {
      await download(this.photo, { ...this.look(), kind: button.dataset.kind, exit: this.image.set.exits[this.exit] });
      say("Downloaded");
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
    button.removeAttribute("aria-disabled");
  }

  async copy() {
    const command = this.part("command"), button = this.part("copy");
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    } catch {
      getSelection().selectAllChildren(command);
    }
  }
}
