// A text field that searches a list of choices: a combobox with a listbox (WAI-ARIA).
const SHOWN_AT_ONCE = 100;

/** Makes `input` and `list` a combobox; `choose` is called with the value that a user chooses. */
function makeCombobox(input, list, choose) {
  let choices = [], value = "", found = [], active = -1;

  const textOf = wanted => choices.find(choice => choice.value === wanted)?.text ?? "";
  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    input.value = textOf(value);
  }
  function activate(i) {
    list.children[active]?.classList.remove("active");
    active = i;
    const option = list.children[i];
    if (!option) return input.removeAttribute("aria-activedescendant");
    option.classList.add("active");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  }
  /** Lists the choices whose text or number has every word of `words`; those that begin with them come first. */
  function open(words) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean), all = wanted.join(" ");
    const matching = choices.filter(({ search }) => wanted.every(word => search.includes(word)));
    found = wanted.length ? [...matching.filter(c => c.search.startsWith(all)), ...matching.filter(c => !c.search.startsWith(all))] : matching;
    const rest = found.length - SHOWN_AT_ONCE;
    found = found.slice(0, SHOWN_AT_ONCE);
    list.replaceChildren(...found.map((choice, i) => {
      const option = make("li", { id: `${list.id}-${i}`, role: "option", textContent: choice.text });
      option.setAttribute("aria-selected", choice.value === value);
      if (choice.number !== undefined) option.append(make("span", { textContent: choice.number }));
      return option;
    }));
    if (rest > 0) list.append(make("li", { className: "rest", role: "presentation", textContent: `${rest} more: type to search` }));
    if (!found.length) list.append(make("li", { className: "rest", role: "presentation", textContent: "no such class" }));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    active = -1;
    const chosen = found.findIndex(choice => choice.value === value);
    activate(wanted.length ? (found.length ? 0 : -1) : chosen);
  }
  function take(i) {
    if (!found[i]) return;
    value = found[i].value;
    close();
    choose(value);
  }

  input.addEventListener("focus", () => input.select());
  input.addEventListener("click", () => { if (list.hidden) open(""); });
  input.addEventListener("input", () => open(input.value));
  input.addEventListener("blur", close);
  input.addEventListener("keydown", event => {
    const last = found.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) return open("");
      const step = event.key === "ArrowDown" ? 1 : -1;
      activate(active < 0 ? (step > 0 ? 0 : last) : (active + step + found.length) % (found.length || 1));
    } else if (event.key === "Enter" && !list.hidden) {
      event.preventDefault();
      take(active);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      event.stopPropagation();
      close();
      input.select();
    }
  });
  // The field keeps the focus while the list is used with a mouse.
  list.addEventListener("mousedown", event => event.preventDefault());
  list.addEventListener("click", event => take([...list.children].indexOf(event.target.closest("[role=option]"))));

  return {
    /** Sets the choices, each a value, a text and maybe a number, and the chosen value. */
    set(list, chosen) {
      choices = list.map(choice => ({ ...choice, search: `${choice.text} ${choice.number ?? ""}`.toLowerCase() }));
      value = chosen;
      close();
    },
  };
}
