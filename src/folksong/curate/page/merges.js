// Merges: one at a time, a key each.

import { ask, element, isPlainKey, say } from "./page.js";
import { write } from "./dialogs.js";

const merge = document.getElementById("merge");
const list = document.getElementById("rows");
const rest = document.getElementById("rest");
const STEP = 200;
const SAID = new Map([[true, "merged"], [false, "kept apart"], [null, ""]]);

let rows = [];
let at = 0;
let shown = STEP;
let busy = false;
const number = (value) => value.toLocaleString("en");
const examples = new Map(); // "source\ttarget" -> promise

function examplesOf(row) {
  const name = `${row.source}\t${row.target}`;
  if (!examples.has(name)) {
    examples.set(name, ask(`/merges/examples?source=${encodeURIComponent(row.source)}&target=${encodeURIComponent(row.target)}`));
  }
  return examples.get(name);
}

const open = (from) => {
  for (let step = 0; step < rows.length; step++) {
    const row = (from + step) % rows.length;
    if (rows[row].decision === null) return row;
  }
  return -1;
};

function drawFigures() {
  const count = (decision) => rows.filter((row) => row.decision === decision).length;
  const parts = [["open", count(null)], ["merged", count(true)], ["kept apart", count(false)]];
  document.getElementById("figures").replaceChildren(...parts.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", { "data-figure": name }, number(value)))));
}

function drawRow(place) {
  const row = rows[place];
  const node = element("li", { class: row.decision === null ? "" : row.decision ? "yes" : "no", "aria-current": place === at ? "true" : null },
    element("button", { type: "button", onclick: () => goTo(place) },
      element("bdi", {}, row.source), " → ", element("bdi", {}, row.target), " ", element("small", {}, SAID.get(row.decision))));
  const old = list.children[place];
  if (old) old.replaceWith(node);
  else list.append(node);
}

function drawList() {
  list.replaceChildren();
  for (let place = 0; place < Math.min(shown, rows.length); place++) drawRow(place);
  rest.hidden = shown >= rows.length;
}

function side(tag, count, tracks, other) {
  return element("section", { class: "side" }, element("h2", { dir: "auto" }, tag), element("p", { class: "facts" }, `${number(count)} tracks`),
    ...(tracks ?? []).map(({ track, tags }) => element("p", { class: "example" }, element("bdi", { class: "track" }, track), " ",
      ...tags.flatMap((one) => [element("span", { class: one === tag || one === other ? "its" : "", dir: "auto" }, one), " "]))));
}

async function draw() {
  const row = rows[at];
  const mine = at;
  const paint = (found) => merge.replaceChildren(
    element("p", { class: "facts" }, `${number(at + 1)} of ${number(rows.length)} · ${row.why || "by hand"}`
      + (found?.shared === undefined || found.shared === null ? "" : ` · both on ${number(found.shared)} tracks`)
      + (row.decision === null ? "" : ` · ${SAID.get(row.decision)}`)),
    element("div", { class: "sides" }, side(row.source, row.counts[0], found?.tracks[row.source], row.target),
      element("span", { class: "becomes", "aria-label": "becomes" }, "→"), side(row.target, row.counts[1], found?.tracks[row.target], row.source)));
  merge.dataset.row = at;
  paint();
  try {
    const found = await examplesOf(row);
    if (mine === at) paint(found);
    const next = open(at + 1);
    if (next >= 0) examplesOf(rows[next]);
  } catch (error) {
    say(error.message, true);
  }
}

function goTo(place) {
  const before = at;
  at = place;
  if (at >= shown) { shown = Math.ceil((at + 1) / STEP) * STEP; drawList(); }
  if (before < list.children.length) drawRow(before);
  drawRow(at);
  const box = list.children[at];
  list.scrollTop = box.offsetTop - list.offsetTop - list.clientHeight / 3;
  return draw();
}

async function decide(decision, target) {
  const row = rows[at];
  await change("/merges/decide", { source: row.source, target: target ?? row.target, decision, seen: row.decision }, true);
}

async function change(path, body, goOn) {
  if (busy) return;
  busy = true;
  try {
    const answer = await ask(path, body);
    rows[answer.number] = answer.row;
    document.getElementById("undo").disabled = !answer.can_undo;
    drawFigures();
    if (answer.number < list.children.length) drawRow(answer.number);
    const next = goOn ? open(answer.number + 1) : answer.number;
    goTo(next < 0 ? answer.number : next); // examples may come late: the next key is heard before
    if (next < 0) say("All merges are decided.");
  } catch (error) {
    say(error.message, true);
    const state = await ask("/merges/state");
    rows = state.rows;
    drawFigures();
    drawList();
    await draw();
  } finally {
    busy = false;
  }
}

const doing = {
  yes: () => decide(true),
  no: () => decide(false),
  skip: () => { const next = open(at + 1); if (next >= 0) return goTo(next); },
  edit: async () => {
    const row = rows[at];
    const target = await write(`“${row.source}” becomes`, row.target, "Another tag", null, "Merge");
    if (target) await decide(true, target);
  },
  undo: () => change("/merges/undo", {}, false),
};
const KEYS = { y: "yes", n: "no", s: "skip", e: "edit", u: "undo" };

for (const name of Object.values(KEYS)) document.getElementById(name).addEventListener("click", () => rows.length && doing[name]());
rest.addEventListener("click", () => { shown += STEP; drawList(); });
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || !isPlainKey(event) || (event.repeat && !event.key.startsWith("Arrow")) || !rows.length) return;
  const name = KEYS[event.key];
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  if (!name && !step) return;
  event.preventDefault();
  if (name) doing[name]();
  else goTo(Math.min(Math.max(at + step, 0), rows.length - 1));
});

const state = await ask("/merges/state");
rows = state.rows;
document.getElementById("undo").disabled = !state.can_undo;
drawFigures();
drawList();
if (rows.length) await goTo(Math.max(open(0), 0));
else merge.replaceChildren(element("p", { class: "empty" }, "The file holds no merges."));
document.body.dataset.ready = "true";
