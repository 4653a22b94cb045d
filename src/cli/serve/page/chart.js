// Bars of every exit's confidence; where the answer changes; where the image would leave early.

/** Position of the first exit whose confidence reaches the threshold; -1 if none does. */
const leavesAt = (image, threshold) => image.probability.findIndex(p => p !== null && p >= threshold);

/** First exit of every run of exits that give the same answer. */
const answersFrom = image => image.predicted.flatMap((c, k) => k === 0 || image.predicted[k - 1] !== c ? [k] : []);

/** Makes the bars of an image; `choose` is called with the position of an exit. */
function makeChart(bars, runs, image, choose) {
  const { classes, exits } = image.set, last = exits.length - 1;
  bars.style.setProperty("--exits", exits.length);
  runs.style.setProperty("--exits", exits.length);
  bars.replaceChildren(...exits.map((exit, k) => {
    const fill = make("span", { className: "fill" });
    fill.style.setProperty("--p", image.probability[k] ?? 0);
    const bar = make("button", { type: "button" }, make("span", { className: "well" }, fill), `${exit}`);
    bar.setAttribute("role", "radio");
    bar.addEventListener("click", () => choose(k));
    return bar;
  }), make("span", { className: "line" }));
  bars.onkeydown = event => {
    const at = [...bars.children].indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: last }[event.key];
    if (at < 0 || to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const next = Math.min(Math.max(to, 0), last);
    choose(next);
    bars.children[next].focus();
  };
  const starts = answersFrom(image);
  runs.replaceChildren(...starts.map((k, i) => {
    const run = make("span", { textContent: classes[image.predicted[k]], title: classes[image.predicted[k]] });
    run.style.gridColumn = `${k + 1} / ${(starts[i + 1] ?? exits.length) + 1}`;
    return run;
  }));
}

/** Marks exit `k`, the threshold, and the exit at which the image would leave. */
function drawChart(bars, image, k, threshold) {
  const { classes, exits } = image.set, starts = answersFrom(image), leaves = leavesAt(image, threshold);
  bars.style.setProperty("--threshold", threshold);
  bars.querySelector(".line").hidden = threshold > 1;
  exits.forEach((exit, i) => {
    const bar = bars.children[i], changes = i > 0 && starts.includes(i);
    bar.setAttribute("aria-checked", i === k);
    bar.tabIndex = i === k ? 0 : -1;
    bar.classList.toggle("changes", changes);
    bar.classList.toggle("leaves", i === leaves);
    bar.classList.toggle("after", leaves >= 0 && i > leaves);
    bar.setAttribute("aria-label", `Exit ${exit}: ${classes[image.predicted[i]]}, ${percent(image.probability[i])}`
      + (changes ? ", another answer than the exit before" : "") + (i === leaves ? ", the image leaves here" : ""));
  });
}

/** A sentence: where the image would leave, and what that saves. */
function whatIsSaved(image, shares, threshold) {
  const { classes, exits } = image.set, last = exits.length - 1, at = leavesAt(image, threshold);
  const confident = Math.round(100 * threshold) + " %";
  if (at < 0) return `No exit is ${confident} confident: the image goes through the whole network.`;
  if (at === last) return `Only the last exit is ${confident} confident: the image goes through the whole network.`;
  const saved = shares?.[at] === undefined ? "" : ` and saves ${(100 * (1 - shares[at])).toFixed(0)} % of the multiply-adds`;
  const other = image.predicted[at] === image.predicted[last] ? "as the last exit says" : `while the last exit says ${classes[image.predicted[last]]}`;
  return `The image leaves at exit ${exits[at]}${saved}: ${classes[image.predicted[at]]}, ${other}.`;
}
