// The label board: cards in columns, changed by actions that the server confirms before they are shown.

import { ask, element, isPlainKey, root, say } from "./page.js";
import { answer, choose, sheet, show, write } from "./dialogs.js";

const board = document.getElementById("board");
const found = document.getElementById("found");
const search = document.getElementById("search");
const MORE = 100;
const MOST_OPEN = 200; // members of a card that are shown again after a change
const HOLD_MS = 350; // a tag lifts under a finger after this
const NO_LABEL = ""; // the label of tags that no label holds

const cards = new Map(); // name -> what the server says of it
const nodes = new Map(); // name -> its element
const shownMembers = new Map(); // name -> how many members are shown, where a person asked for more
const selected = new Map(); // "label\ntag" -> {label, tag}
let state = { version: -1, order: [], warnings: {} };
let here = null; // {label, tag}: what the arrow keys are at

const number = (value) => value.toLocaleString("en");
const percent = (share, digits = 1) => (share === null ? "–" : `${(100 * share).toFixed(digits)}%`);
const key = (label, tag) => `${label}\n${tag}`;
const labelOf = (node) => node.closest(".card")?.dataset.label;
const many = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
const names = () => state.order.map(([name]) => name);

// ---- drawing

function drawTag(label, [tag, count, own]) {
  return element("li", {}, element("button", {
    type: "button", class: own ? "tag" : "tag also", tabindex: -1, dir: "auto", title: own ? null : "means it too; its main label is another",
    "aria-pressed": String(selected.has(key(label, tag))),
  }, element("span", { class: "name" }, tag), " ", element("small", {}, number(count))));
}

function drawCard(name, facts, tags, members, total) {
  const list = element("ul", { class: "tags" }, ...members.map((member) => drawTag(name, member)));
  list.querySelectorAll(".tag").forEach((node, place) => (node.dataset.tag = members[place][0]));
  const more = total - members.length;
  if (more > 0) list.append(element("li", {}, element("button", { type: "button", class: "more", tabindex: -1 }, `${number(more)} more`)));
  const node = element("article", { class: "card" },
    element("h3", {}, element("button", { type: "button", class: "title", tabindex: -1, dir: "auto" }, name || "in no label")),
    element("p", { class: "facts" }, facts), element("p", { class: "warning" }), list);
  node.dataset.label = name;
  return node;
}

function place(name, node) {
  const old = nodes.get(name);
  nodes.set(name, node);
  if (old) old.replaceWith(node);
}

function columnOf(facet) {
  for (const column of board.children) if (column.dataset.facet === facet) return column;
  const column = element("section", { class: "column", "aria-label": facet || "no facet" },
    element("h2", {}, element("span", { dir: "auto" }, facet || "no facet"), " ", element("small")), element("div", { class: "cards" }));
  column.dataset.facet = facet;
  board.append(column);
  return column;
}

function drawOrder() {
  const wanted = new Map();
  for (const [name, facet] of state.order) wanted.set(facet, [...(wanted.get(facet) ?? []), name]);
  for (const [name, node] of nodes) if (name !== NO_LABEL && !cards.has(name)) { node.remove(); nodes.delete(name); }
  for (const [facet, members] of wanted) {
    const column = columnOf(facet);
    column.querySelector("h2 small").textContent = members.length;
    column.dataset.wide = members.length > 24 ? 3 : members.length > 8 ? 2 : 1;
    const list = column.querySelector(".cards");
    members.forEach((name, position) => {
      const node = nodes.get(name);
      if (list.children[position] !== node) list.insertBefore(node, list.children[position] ?? null);
    });
    while (list.children.length > members.length) list.lastChild.remove();
  }
  for (const column of [...board.children]) if (!wanted.has(column.dataset.facet) && column.dataset.facet !== "\n") column.remove();
  const pool = nodes.get(NO_LABEL);
  if (pool) {
    let column = columnOf("\n");
    column.querySelector("h2 span").textContent = "left over";
    column.setAttribute("aria-label", "Tags in no label");
    if (!pool.isConnected) column.querySelector(".cards").append(pool);
    board.append(column);
  }
}

function drawFigures() {
  const all = state.overall;
  const parts = [
    ["labels", number(all.n_labels)], ["tags", number(all.n_tags)], ["of the counts", percent(all.counts, 2)],
    ["of the tracks", percent(all.tracks, 2)], ["own tags", percent(all.own)], ["actions", number(state.n_actions)],
  ];
  document.getElementById("figures").replaceChildren(...parts.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", { "data-figure": name }, value))));
  for (const [id, doing] of [["undo", state.undo], ["redo", state.redo]]) {
    const button = document.getElementById(id);
    button.disabled = !doing;
    button.title = doing;
  }
}

async function take(next) {
  if (next.version < state.version) return;
  const isHere = board.contains(document.activeElement);
  const around = neighbours(here);
  state = next;
  for (const card of next.cards) {
    cards.set(card.name, card);
    const open = shownMembers.get(card.name);
    if (open) card.members = (await ask(`/board/members?label=${encodeURIComponent(card.name)}&number=${open}`)).members;
    const facts = `${many(card.tracks, "track")} · ${many(card.n_tags, "tag")}` + (card.own === null || card.own > 0.9995 ? "" : ` · ${percent(card.own, 0)} own`);
    place(card.name, drawCard(card.name, facts, card.n_tags, card.members, card.n_tags));
  }
  if (next.pool) {
    const open = shownMembers.get(NO_LABEL);
    if (open) next.pool.members = (await ask(`/board/members?number=${open}`)).members;
    place(NO_LABEL, drawCard(NO_LABEL, many(next.pool.n_tags, "tag"), next.pool.n_tags, next.pool.members, next.pool.n_tags));
  }
  const there = new Set(names());
  for (const name of [...cards.keys()]) if (!there.has(name)) { cards.delete(name); shownMembers.delete(name); }
  drawOrder();
  for (const [name, node] of nodes) node.querySelector(".warning").textContent = (state.warnings[name] ?? []).join("; ");
  drawFigures();
  board.setAttribute("aria-busy", "false");
  board.dataset.version = state.version;
  goTo(here?.tag && !isShown(here) ? around.find(isShown) ?? here : here, isHere);
  if (!found.hidden) drawFound();
}

// ---- where the keys are

const tagsOf = (label) => [...(nodes.get(label)?.querySelectorAll(".tag") ?? [])].map((node) => node.dataset.tag);
const isShown = ({ label, tag }) => tagsOf(label).includes(tag);

/** What the keys go to when a tag leaves its card: the next tag, else the one before; never the label, which keys could drop. */
function neighbours(at) {
  if (!at?.tag) return [];
  const tags = tagsOf(at.label);
  const place = tags.indexOf(at.tag);
  return [...tags.slice(place + 1), ...tags.slice(0, place).reverse()].map((tag) => ({ label: at.label, tag }));
}

function nodeOf(at) {
  const card = at && nodes.get(at.label);
  if (!card) return null;
  if (!at.tag) return card.querySelector(".title");
  return [...card.querySelectorAll(".tag")].find((node) => node.dataset.tag === at.tag) ?? card.querySelector(".title");
}

function goTo(at, focus = true) {
  const node = nodeOf(at) ?? board.querySelector(".title");
  if (!node) return;
  board.querySelectorAll("[tabindex='0']").forEach((other) => (other.tabIndex = -1));
  node.tabIndex = 0;
  here = { label: labelOf(node), tag: node.dataset.tag ?? "" };
  if (focus) node.focus({ preventScroll: false });
}

function step(direction) {
  const now = nodeOf(here);
  const all = [...board.querySelectorAll(".title, .tag, .more")];
  if (direction === "ArrowUp" || direction === "ArrowDown") {
    const mine = all.filter((node) => node.closest(".column") === now.closest(".column"));
    const at = mine.indexOf(document.activeElement);
    return mine[at + (direction === "ArrowDown" ? 1 : -1)];
  }
  const from = document.activeElement.getBoundingClientRect();
  const card = now.closest(".card");
  let best = null;
  let least = Infinity;
  for (const node of all) {
    const box = node.getBoundingClientRect();
    const ahead = direction === "ArrowRight" ? box.left - from.left : from.left - box.left;
    if (ahead < 4) continue;
    const far = Math.abs(box.top - from.top) * 3 + ahead + (node.closest(".card") === card ? -200 : 0);
    if (far < least) [best, least] = [node, far];
  }
  return best;
}

// ---- doing

let queue = Promise.resolve();

function act(...actions) {
  const run = async () => {
    try {
      const next = await ask("/board/act", { version: state.version, actions });
      selected.clear();
      await take(next);
      say(next.last);
    } catch (error) {
      say(error.message, true);
      if (error.content?.state) await take(error.content.state);
    }
  };
  return (queue = queue.then(run));
}

const chosen = (at) => (selected.has(key(at.label, at.tag)) ? [...selected.values()] : [at]);
const byLabel = (tags) => Map.groupBy ? [...Map.groupBy(tags, (one) => one.label)] : [...tags.reduce((all, one) => all.set(one.label, [...(all.get(one.label) ?? []), one]), new Map())];
const counted = (tags) => (tags.length === 1 ? `“${tags[0].tag}”` : `${tags.length} tags`);

const moveTags = (tags, to) => act(...tags.filter(({ label }) => label !== to).map(({ label, tag }) => ({ kind: "move", tag, label, to })));

const doing = {
  async move(at) {
    if (!at.tag) return doing.merge(at);
    const tags = chosen(at);
    const to = await choose(`Move ${counted(tags)} to`, names().filter((name) => tags.some(({ label }) => label !== name)));
    if (to) await moveTags(tags, to.name);
  },
  async new(at) {
    if (!at.tag) return;
    const tags = chosen(at);
    const sources = byLabel(tags);
    if (sources.length > 1) return say("Select tags of one label to make a new label of them.", true);
    const name = await write(`New label of ${counted(tags)}`, tags[0].tag, "Its name", null, "Make it");
    if (name) await act({ kind: "split", label: sources[0][0], to: name, tags: tags.map(({ tag }) => tag) });
  },
  async drop(at) {
    if (at.label === NO_LABEL) return say("It is in no label.", true);
    if (at.tag) return act(...chosen(at).filter(({ label }) => label !== NO_LABEL).map(({ label, tag }) => ({ kind: "drop", label, tag })));
    return act({ kind: "drop", label: at.label });
  },
  async merge(at) {
    if (at.label === NO_LABEL) return;
    const to = await choose(`Merge “${at.label}” into`, names().filter((name) => name !== at.label));
    if (to) await act({ kind: "merge", label: at.label, to: to.name });
  },
  async rename(at) {
    if (at.label === NO_LABEL) return;
    const name = await write(`Rename “${at.label}”`, at.label, "New name", null, "Rename");
    if (name && name !== at.label) {
      await act({ kind: "rename", label: at.label, to: name });
      if (nodes.has(name)) goTo({ label: name, tag: "" });
    }
  },
  async facet(at) {
    if (at.label === NO_LABEL) return;
    const now = state.order.find(([name]) => name === at.label)[1];
    const facet = await write(`Facet of “${at.label}”`, now, "Facet", "facets", "Set");
    if (facet !== undefined && facet !== now) await act({ kind: "facet", label: at.label, to: facet });
  },
  async split(at) {
    if (at.label !== NO_LABEL) await splitLabel(at.label);
  },
  undo: () => act({ kind: "undo" }),
  redo: () => act({ kind: "redo" }),
};

async function open(at) {
  const card = cards.get(at.label);
  if (at.tag) {
    const from = at.label ? `in “${at.label}”` : "in no label";
    const choices = [{ key: "m", text: "Move to a label…", value: "move" }, { key: "n", text: "Make a new label of it…", value: "new" }];
    if (at.label) choices.push({ key: "x", text: "Drop it from the label", value: "drop" });
    const many = chosen(at);
    const chosenNow = await sheet(many.length > 1 ? counted(many) : at.tag, [element("p", { dir: "auto" }, many.length > 1 ? "selected" : from)], choices);
    if (chosenNow) await doing[chosenNow](at);
  } else if (card) {
    const warnings = state.warnings[at.label] ?? [];
    const facts = [element("p", {}, nodes.get(at.label).querySelector(".facts").textContent),
      ...warnings.map((line) => element("p", { class: "warning", dir: "auto" }, line))];
    const choice = await sheet(at.label, facts, [
      { key: "r", text: "Rename…", value: "rename" }, { key: "f", text: "Set its facet…", value: "facet" },
      { key: "m", text: "Merge into another…", value: "merge" }, { key: "s", text: "Split…", value: "split" },
      { key: "x", text: "Drop the label", value: "drop" },
    ]);
    if (choice) await doing[choice](at);
  }
}

async function splitLabel(label) {
  let halves;
  try {
    halves = await ask(`/board/split?label=${encodeURIComponent(label)}`);
  } catch (error) {
    return say(error.message, true);
  }
  const side = new Map([...halves.first.map(([tag]) => [tag, 0]), ...halves.second.map(([tag]) => [tag, 1])]);
  const lists = [element("ul", { class: "tags" }), element("ul", { class: "tags" })];
  const counts = [element("span"), element("span")];
  const chips = new Map([...halves.first, ...halves.second].map(([tag, count]) => [tag, element("button", {
    type: "button", class: "tag", dir: "auto", onclick: (event) => { side.set(tag, 1 - side.get(tag)); draw(tag); event.currentTarget.focus(); },
  }, element("span", { class: "name" }, tag), " ", element("small", {}, number(count)))]));
  const item = new Map();
  const draw = (only) => {
    for (const [tag, which] of side) {
      if (only !== undefined && tag !== only) continue;
      if (!item.has(tag)) item.set(tag, element("li", {}, chips.get(tag)));
      lists[which].append(item.get(tag));
    }
    const second = [...side.values()].filter(Boolean).length;
    [side.size - second, second].forEach((n, which) => (counts[which].textContent = many(n, "tag")));
  };
  draw();
  const taken = new Set(names());
  const proposal = halves.second.map(([tag]) => tag).find((tag) => !taken.has(tag)) ?? "";
  const input = element("input", { value: proposal, dir: "auto", "aria-label": "Name of the new label", maxlength: 200, required: true, autofocus: true });
  const form = element("form", { class: "split", onsubmit: (event) => { event.preventDefault(); answer(input.value.trim()); } },
    element("h2", { id: "dialog-title", dir: "auto" }, `Split “${label}”`),
    element("p", {}, "Proposed by which tags share tracks. A tag you click changes sides."),
    element("div", { class: "halves" },
      element("section", {}, element("h3", { dir: "auto" }, label, " "), counts[0], lists[0]),
      element("section", {}, element("label", {}, "New label", input), counts[1], lists[1])),
    element("div", { class: "row" }, element("button", { type: "button", onclick: () => answer(undefined) }, "Cancel"), element("button", { class: "main" }, "Split")));
  const name = await show(form);
  if (name) await act({ kind: "split", label, to: name, tags: [...side].filter(([, which]) => which).map(([tag]) => tag) });
}

// ---- clicks and keys

board.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button || drag.hasEnded) return;
  const at = { label: labelOf(button), tag: button.dataset.tag ?? "" };
  if (button.classList.contains("more")) return showMore(at.label);
  goTo(at);
  if (at.tag && (event.ctrlKey || event.metaKey || event.shiftKey)) return toggle(at);
  await open(at);
});

board.addEventListener("focusin", (event) => {
  if (event.target.matches(".title, .tag")) here = { label: labelOf(event.target), tag: event.target.dataset.tag ?? "" };
});

function toggle(at) {
  if (!at.tag) return;
  const one = key(at.label, at.tag);
  if (!selected.delete(one)) selected.set(one, at);
  nodeOf(at)?.setAttribute("aria-pressed", String(selected.has(one)));
  say(selected.size ? `${selected.size} selected` : "");
}

async function showMore(label) {
  const card = nodes.get(label);
  const now = card.querySelectorAll(".tag").length;
  const some = await ask(`/board/members?label=${encodeURIComponent(label)}&start=${now}&number=${MORE}`);
  const list = card.querySelector(".tags");
  const last = list.lastElementChild;
  for (const member of some.members) {
    const item = drawTag(label, member);
    item.firstChild.dataset.tag = member[0];
    list.insertBefore(item, last);
  }
  const total = label ? cards.get(label).n_tags : some.n_tags;
  const left = total - list.querySelectorAll(".tag").length;
  shownMembers.set(label, Math.min(total - left, MOST_OPEN));
  if (left > 0) last.firstChild.textContent = `${number(left)} more`;
  else last.remove();
  if (some.members.length) goTo({ label, tag: some.members[0][0] });
}

const KEYS = { m: "move", n: "new", x: "drop", Delete: "drop", r: "rename", f: "facet", s: "split", u: "undo", U: "redo", w: "write", "?": "help" };

document.addEventListener("keydown", async (event) => {
  if (document.querySelector("dialog[open]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.target.matches("input")) {
    event.preventDefault();
    return event.shiftKey ? doing.redo() : doing.undo();
  }
  if (!isPlainKey(event) || (event.repeat && !event.key.startsWith("Arrow"))) return;
  if (event.key === "/") {
    event.preventDefault();
    return search.focus();
  }
  if (event.key === "Escape" && selected.size) {
    for (const at of selected.values()) nodeOf(at)?.setAttribute("aria-pressed", "false");
    selected.clear();
    return say("Nothing selected");
  }
  const name = KEYS[event.key];
  if (name === "write") return writeLabels();
  if (name === "help") return help();
  if (name === "undo" || name === "redo") return doing[name]();
  if (!board.contains(event.target) && !found.contains(event.target)) return;
  if (event.key.startsWith("Arrow") && board.contains(event.target)) {
    const next = step(event.key);
    event.preventDefault();
    if (next) next.matches(".more") ? next.focus() : goTo({ label: labelOf(next), tag: next.dataset.tag ?? "" });
  } else if (event.key === " " && event.target.matches("#board .tag")) {
    event.preventDefault();
    toggle(here);
  } else if (name && here) {
    event.preventDefault();
    const at = found.contains(event.target) ? JSON.parse(event.target.dataset.at) : here;
    await doing[name](at);
  }
});

// ---- dragging: mouse, pen and finger alike

const drag = { at: null, ghost: null, over: null, x: 0, y: 0, timer: 0, hasEnded: false };

function dragTags() {
  return chosen(drag.at);
}

function lift() {
  const tags = dragTags();
  drag.ghost = element("div", { class: "ghost", "aria-hidden": "true" }, tags.length === 1 ? tags[0].tag : counted(tags));
  document.body.append(drag.ghost);
  document.body.classList.add("dragging");
  moveGhost();
}

function moveGhost() {
  drag.ghost.style.transform = `translate(${drag.x + 8}px, ${drag.y + 8}px)`;
  const over = document.elementFromPoint(drag.x, drag.y)?.closest(".card");
  if (over !== drag.over) {
    drag.over?.classList.remove("over");
    drag.over = over ?? null;
    drag.over?.classList.add("over");
  }
}

function scrollAtEdges() {
  if (!drag.ghost) return;
  const edge = 60;
  const by = (place, size) => (place < edge ? -12 : place > size - edge ? 12 : 0);
  const [x, y] = [by(drag.x, innerWidth), by(drag.y, innerHeight)];
  if (y) scrollBy(0, y);
  if (x) board.scrollBy(x, 0);
  if (x || y) moveGhost();
  requestAnimationFrame(scrollAtEdges);
}

function drop(isDropped) {
  clearTimeout(drag.timer);
  const [tags, to] = [drag.at && drag.ghost ? dragTags() : [], drag.over?.dataset.label];
  if (drag.ghost) { // the click that follows is of the drag
    drag.hasEnded = true;
    setTimeout(() => (drag.hasEnded = false));
  }
  drag.ghost?.remove();
  drag.over?.classList.remove("over");
  document.body.classList.remove("dragging");
  Object.assign(drag, { at: null, ghost: null, over: null });
  if (!isDropped || to === undefined || !tags.length) return;
  const foreign = tags.filter(({ label }) => label !== to);
  if (!foreign.length) return;
  if (to === NO_LABEL) act(...foreign.map(({ label, tag }) => ({ kind: "drop", label, tag })));
  else moveTags(foreign, to);
}

document.addEventListener("pointerdown", (event) => {
  const tag = event.target.closest("#board .tag, #found .tag");
  if (!tag || event.button !== 0) return;
  const at = tag.dataset.at ? JSON.parse(tag.dataset.at) : { label: labelOf(tag), tag: tag.dataset.tag };
  Object.assign(drag, { at, x: event.clientX, y: event.clientY, startX: event.clientX, startY: event.clientY });
  if (event.pointerType === "touch") {
    tag.releasePointerCapture?.(event.pointerId);
    drag.timer = setTimeout(() => { if (drag.at) { lift(); scrollAtEdges(); } }, HOLD_MS);
  }
});
document.addEventListener("pointermove", (event) => {
  if (!drag.at) return;
  [drag.x, drag.y] = [event.clientX, event.clientY];
  const far = Math.hypot(drag.x - drag.startX, drag.y - drag.startY) > 6;
  if (drag.ghost) moveGhost();
  else if (far && event.pointerType !== "touch") { lift(); scrollAtEdges(); }
  else if (far) drop(false); // a finger that moves at once scrolls
});
document.addEventListener("pointerup", () => drop(true));
document.addEventListener("pointercancel", () => drop(false));
document.addEventListener("touchmove", (event) => { if (drag.ghost) event.preventDefault(); }, { passive: false });
document.addEventListener("contextmenu", (event) => { if (drag.at) event.preventDefault(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && drag.ghost) drop(false); });

// ---- search

let wanted = 0;

async function drawFound() {
  const text = search.value.trim();
  const mine = ++wanted;
  if (!text) return (found.hidden = true);
  const { found: tags } = await ask(`/board/search?q=${encodeURIComponent(text)}`);
  if (mine !== wanted) return;
  found.hidden = false;
  found.replaceChildren(element("ul", { class: "tags" }, ...tags.map(({ tag, count, labels }) => {
    const node = element("button", { type: "button", class: labels.length ? "tag" : "tag also", dir: "auto", onclick: () => {
      if (drag.hasEnded) return;
      const at = { label: labels[0] ?? NO_LABEL, tag };
      if (nodeOf(at)?.dataset.tag === tag) goTo(at);
      open(at);
    } }, element("span", { class: "name" }, tag), " ", element("small", {}, `${number(count)} · ${labels.join(", ") || "no label"}`));
    node.dataset.at = JSON.stringify({ label: labels[0] ?? NO_LABEL, tag });
    return element("li", {}, node);
  })), element("p", { class: "empty" }, tags.length ? "" : "No tag holds this."));
}

search.addEventListener("input", () => { clearTimeout(search.timer); search.timer = setTimeout(drawFound, 80); });
search.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { search.value = ""; drawFound(); goTo(here); }
  if (event.key === "Enter" || event.key === "ArrowDown") { event.preventDefault(); found.querySelector(".tag")?.focus(); }
});
found.addEventListener("keydown", (event) => {
  const all = [...found.querySelectorAll(".tag")];
  const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (event.key === "Escape") { search.focus(); search.select(); }
  if (!move) return;
  event.preventDefault();
  const next = all[all.indexOf(document.activeElement) + move];
  (next ?? search).focus();
});

// ---- the bar

async function writeLabels() {
  try {
    const { written, n_actions } = await ask("/board/write", {});
    say(`${written}: written, after ${number(n_actions)} actions`);
  } catch (error) {
    say(error.message, true);
  }
}

function help() {
  show(document.getElementById("help").content.cloneNode(true), element("div", { class: "row" },
    element("button", { type: "button", autofocus: true, onclick: () => answer() }, "Close")));
}

document.getElementById("undo").addEventListener("click", doing.undo);
document.getElementById("redo").addEventListener("click", doing.redo);
document.getElementById("write").addEventListener("click", writeLabels);
document.getElementById("keys").addEventListener("click", help);
document.getElementById("draw").addEventListener("click", (event) => {
  const map = document.getElementById("map");
  map.hidden = !map.hidden;
  event.currentTarget.setAttribute("aria-pressed", String(!map.hidden));
  if (map.hidden) return map.replaceChildren();
  const again = element("button", { type: "button", onclick: () => draw() }, "Draw again");
  const draw = () => map.replaceChildren(again, element("iframe", { src: `${root}/board/map?v=${state.version}`, title: "Map of the labels", sandbox: "allow-scripts" }));
  draw();
});

// ---- another window may do something at any time

async function look() {
  if (document.hidden) return;
  try {
    const seen = state.version;
    const next = await ask(`/board/state?since=${seen}`);
    if (next.version > state.version) {
      queue = queue.then(() => take(next));
      await queue;
      if (seen >= 0) say(`in another window: ${next.last}`);
    }
  } catch (error) {
    say(error.message, true);
  }
}

await look();
setInterval(look, 1500);
document.addEventListener("visibilitychange", look);
