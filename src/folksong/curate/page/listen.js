// The listening queue: one question at a time, answered by a key.

import { ask, element, isPlainKey, root, say } from "./page.js";

const at = (id) => document.getElementById(id);
const audio = at("audio");
const STEP_SECONDS = 5;
const WAIT_MS = 1500;

let questions = [];
let current = null;
let answering = false;
const answered = []; // of this window, to be taken back

const keyOf = (question) => JSON.stringify([question.track, question.label]);
const percent = (score) => `${Math.round(100 * score)}%`;
const query = (words) => new URLSearchParams(words).toString();

function tell(progress) {
  const more = progress.heard + progress.n_failed < progress.recordings ? `heard ${progress.heard} of ${progress.recordings} recordings so far` : `${progress.recordings} recordings`;
  const failed = progress.n_failed ? `, ${progress.n_failed} cannot be heard` : "";
  at("progress").textContent = `${more}${failed}; answered: ${progress.yes} yes, ${progress.no} no, ${progress.skip} skipped`;
  at("progress").title = Object.values(progress.failed).join("\n");
  return progress.heard + progress.n_failed < progress.recordings;
}

let loads = 0;

async function load() {
  const mine = ++loads; // a later one takes over
  const found = await ask(`/listen/questions?${query({ order: at("order").value, label: at("label").value })}`);
  if (mine !== loads) return;
  questions = found.questions;
  const waiting = tell(found.progress);
  if (questions.length) show(questions.shift());
  else if (waiting) none("The recordings are being heard; the first questions come soon.");
  else none("No question is left in this order. Choose another, or another label.");
  if (waiting) setTimeout(() => follow(mine).catch(failed), WAIT_MS);
}

/** While recordings are still being heard: better questions may come behind the one that is shown. */
async function follow(mine) {
  if (mine !== loads) return;
  if (!current) return load();
  const found = await ask(`/listen/questions?${query({ order: at("order").value, label: at("label").value })}`);
  if (mine !== loads) return;
  const here = new Set([...answered.map(({ question }) => question), current].filter(Boolean).map(keyOf));
  questions = found.questions.filter((one) => !here.has(keyOf(one)));
  if (tell(found.progress)) setTimeout(() => follow(mine).catch(failed), WAIT_MS);
}

function none(text) {
  current = null;
  audio.pause();
  at("question").hidden = true;
  at("none").hidden = false;
  at("none").textContent = text;
}

function show(question) {
  current = question;
  at("none").hidden = true;
  at("question").hidden = false;
  at("name").textContent = question.track;
  at("asked").textContent = question.label;
  const heard = `The tagger says ${percent(question.score)}, and decides from ${percent(question.threshold)} on.`;
  const before = question.decided ? `You said ${question.decided}. ` : "";
  const tags = question.tagged ? "Its tags say yes." : "Its tags do not say so.";
  at("why").textContent = at("question").dataset.tagged ? `${before}${tags} ${heard}` : before + heard;
  at("tags").replaceChildren();
  at("scores").replaceChildren();
  at("strips").replaceChildren();
  const source = `${root}/listen/audio?${query({ track: question.track })}`;
  if (audio.getAttribute("src") !== source) {
    audio.src = source;
    at("picture").hidden = true;
    at("picture").src = `${root}/listen/picture?${query({ track: question.track })}`;
  }
  describe(question).catch(failed);
}

async function describe(question) {
  const found = await ask(`/listen/track?${query({ track: question.track })}`);
  if (current !== question) return;
  if (found.title) at("name").textContent = [found.artist, found.title].filter(Boolean).join(" – ");
  const chip = (name, value, own) => element("li", { class: own ? "chip" : "chip also", dir: "auto" }, name, " ", element("small", {}, value));
  at("tags").replaceChildren(...found.tags.slice(0, 40).map(([tag, weight]) => chip(tag, weight === 1 ? "" : String(weight), true)));
  if (!found.tags.length) at("tags").append(element("li", { class: "empty" }, "none"));
  at("scores").replaceChildren(...found.scores.map(([label, score, threshold]) => chip(label, percent(score), score >= threshold)));
  const times = await ask(`/listen/time?${query({ track: question.track, label: question.label })}`);
  if (current === question) drawTimes(times);
}

function drawTimes(times) {
  const end = times.starts.at(-1) + times.window;
  const middles = times.starts.map((start) => start + times.window / 2);
  const edges = [0, ...middles.slice(1).map((middle, place) => (middle + middles[place]) / 2), end];
  at("strips").replaceChildren(...times.labels.map((label, row) => {
    const cells = element("div", { class: "strip-cells" });
    times.scores[row].forEach((score, place) => {
      const cell = element("span", { title: `${label}: ${percent(score)} around ${Math.round(middles[place])} s` });
      cell.style.width = `${(100 * (edges[place + 1] - edges[place])) / end}%`;
      cell.style.setProperty("--heard", score);
      cells.append(cell);
    });
    const name = element("span", { class: "strip-name", dir: "auto", title: label }, label);
    return element("div", { class: label === current.label ? "strip asked-strip" : "strip" }, name, cells);
  }));
}

async function answer(decision) {
  if (!current || answering) return;
  answering = true;
  const { track, label } = current;
  try {
    tell((await ask("/listen/decide", { track, label, decision, was: current.decided ?? "" })).progress);
    answered.push({ question: current, decision });
    at("undo").disabled = false;
    say(`${decision}: ${label}`);
    if (questions.length) show(questions.shift());
    else await load();
  } catch (error) {
    failed(error);
    if (error.content?.conflict) await load();
  } finally {
    answering = false;
  }
}

async function undo() {
  if (!answered.length || answering) return;
  answering = true;
  const { question, decision } = answered.at(-1);
  try {
    tell((await ask("/listen/decide", { track: question.track, label: question.label, decision: question.decided ?? "open", was: decision })).progress);
    answered.pop();
    at("undo").disabled = !answered.length;
    if (current) questions.unshift(current);
    show(question);
    say(`taken back: ${question.label}`);
  } catch (error) {
    failed(error);
  } finally {
    answering = false;
  }
}

function failed(error) {
  say(error.message, true);
}

function play() {
  if (audio.paused) audio.play().catch(() => say("This browser cannot play the recording.", true));
  else audio.pause();
}

function move() {
  const share = audio.duration ? audio.currentTime / audio.duration : 0;
  at("times").style.setProperty("--now", share);
}

audio.addEventListener("timeupdate", move);
audio.addEventListener("seeked", move);
audio.addEventListener("loadedmetadata", move);
at("picture").addEventListener("load", () => (at("picture").hidden = false));
at("times").addEventListener("click", (event) => {
  const cells = event.target.closest(".strip-cells");
  if (!cells || !audio.duration) return;
  const box = cells.getBoundingClientRect();
  audio.currentTime = ((event.clientX - box.left) / box.width) * audio.duration;
});
at("order").addEventListener("change", () => load().catch(failed));
at("label").addEventListener("change", () => load().catch(failed));
at("undo").addEventListener("click", undo);
for (const button of document.querySelectorAll("[data-decision]")) button.addEventListener("click", () => answer(button.dataset.decision));

document.addEventListener("keydown", (event) => {
  if (!isPlainKey(event) || (event.repeat && !event.key.startsWith("Arrow"))) return; // a key held answers once
  const onControl = event.target.closest("button, audio");
  const acts = {
    y: () => answer("yes"), n: () => answer("no"), s: () => answer("skip"), u: undo,
    ArrowLeft: () => (audio.currentTime = Math.max(audio.currentTime - STEP_SECONDS, 0)),
    ArrowRight: () => (audio.currentTime = Math.min(audio.currentTime + STEP_SECONDS, audio.duration || 0)),
    " ": play,
  };
  if (!(event.key in acts) || (event.key === " " && onControl)) return;
  event.preventDefault();
  acts[event.key]();
});

load().catch(failed);
