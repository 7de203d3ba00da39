// Dialogs of all views: a sheet of what can be done, a label to choose, a text to write.

import { element } from "./page.js";

const dialog = document.getElementById("dialog");

const shade = document.getElementById("shade");
let back = null; // where the focus was
let settle = () => {};

/** Show a dialog and give what it was closed with; undefined where it was left by Escape. */
export function show(...content) {
  return new Promise((resolve) => {
    back = document.activeElement;
    settle = resolve;
    dialog.replaceChildren(...content);
    dialog.onkeydown = null;
    shade.hidden = false;
    dialog.show(); // showModal would style the whole board anew, twice an action
    dialog.querySelector("[autofocus]")?.focus();
  });
}

/** Close the dialog that is shown with an answer. */
export function answer(value) {
  if (!dialog.open) return;
  dialog.close();
  shade.hidden = true;
  dialog.replaceChildren();
  if (back?.isConnected) back.focus();
  settle(value);
}

shade.addEventListener("click", () => answer());
document.addEventListener("keydown", (event) => {
  if (!dialog.open) return;
  if (event.key === "Escape") {
    event.preventDefault();
    event.stopImmediatePropagation();
    answer();
  } else if (event.key === "Tab") {
    const stops = [...dialog.querySelectorAll("button, input, a[href]")];
    const at = stops.indexOf(document.activeElement);
    event.preventDefault();
    stops.at((at + (event.shiftKey ? -1 : 1)) % stops.length).focus();
  }
});

const cancel = () => element("button", { type: "button", onclick: () => answer() }, "Cancel");
const title = (text) => element("h2", { id: "dialog-title", dir: "auto" }, text);

/** Offer actions: [{key, text, value}]; a key or a click chooses one. */
export function sheet(heading, facts, choices) {
  const buttons = choices.map((choice, place) =>
    element("button", { type: "button", class: "choice", autofocus: place === 0, onclick: () => answer(choice.value) },
      element("kbd", {}, choice.key), " ", choice.text));
  const shown = show(title(heading), ...facts, element("div", { class: "choices" }, ...buttons), element("div", { class: "row" }, cancel()));
  dialog.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const chosen = choices.find((choice) => choice.key === event.key);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (chosen) answer(chosen.value);
    else if (step) buttons.at((buttons.indexOf(document.activeElement) + step) % buttons.length).focus();
    else return;
    event.preventDefault();
  };
  return shown;
}

/** Ask for a text; suggestions are the id of a datalist. */
export function write(heading, value, hint, list, verb = "OK") {
  const input = element("input", { value, list, autofocus: true, dir: "auto", maxlength: 200, "aria-label": hint, spellcheck: "false" });
  const form = element("form", { onsubmit: (event) => { event.preventDefault(); answer(input.value.trim()); } },
    element("label", {}, hint, input), element("div", { class: "row" }, cancel(), element("button", { class: "main" }, verb)));
  const shown = show(title(heading), form);
  input.select();
  return shown;
}

/** Ask for one of several names by typing a part of it; `create` offers a name that is not among them, too. */
export function choose(heading, names, create = "") {
  const list = element("ul", { id: "choices", role: "listbox", class: "listbox", "aria-label": "Labels" });
  const input = element("input", {
    autofocus: true, dir: "auto", role: "combobox", "aria-expanded": "true", "aria-controls": "choices", maxlength: 200,
    "aria-label": "Type a part of the label's name", placeholder: "Type a part of the label's name", spellcheck: "false", autocomplete: "off",
  });
  let found = [];
  let place = 0;
  const fold = (text) => text.toLocaleLowerCase();
  const draw = () => {
    const wanted = fold(input.value.trim());
    found = names.filter((name) => fold(name).includes(wanted));
    found.sort((one, other) => fold(other).startsWith(wanted) - fold(one).startsWith(wanted));
    found = found.slice(0, 50).map((name) => ({ name, isNew: false }));
    if (create && input.value.trim() && !names.includes(input.value.trim())) found.push({ name: input.value.trim(), isNew: true });
    place = 0;
    list.replaceChildren(...found.map(({ name, isNew }, number) => element("li", {
      role: "option", id: `choice-${number}`, dir: "auto", onclick: () => answer({ name, isNew }),
    }, isNew ? `${create} “${name}”` : name)));
    mark();
  };
  const mark = () => {
    [...list.children].forEach((option, number) => option.setAttribute("aria-selected", number === place));
    list.children[place]?.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", found.length ? `choice-${place}` : "");
  };
  input.addEventListener("input", draw);
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) {
      place = (place + step + found.length) % found.length;
      mark();
    } else if (event.key === "Enter") {
      if (found[place]) answer(found[place]);
    } else return;
    event.preventDefault();
  });
  const shown = show(title(heading), input, list, element("div", { class: "row" }, cancel()));
  draw();
  return shown;
}
