// Recordings that are dropped are sent one after another, and their labels shown.

import { element } from "./page.js";

const at = (id) => document.getElementById(id);
const SHOWN = 10; // labels, and more where more reach their threshold
let work = Promise.resolve();

const percent = (score) => `${Math.round(100 * score)}%`;

async function send(file) {
  const form = new FormData();
  form.append("file", file);
  const answer = await fetch("tag", { method: "POST", body: form })
    .catch(() => { throw new Error("could not be sent: too large, or the server is gone"); });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error ?? `refused (${answer.status})`);
  return content;
}

function row({ label, score, threshold, above }) {
  const made = element("li", { class: "heard" }, element("span", { "aria-label": above ? "yes" : "no" }, above ? "✓" : ""), element("span", { dir: "auto" }, label),
    element("span", { class: "meter" }, element("span")), element("small", {}, `${percent(score)} (from ${percent(threshold)})`));
  made.querySelector(".meter span").style.width = percent(score);
  return made;
}

function draw(card, found) {
  const decided = found.labels.filter((label) => label.above).length;
  const quiet = found.silent ? "silence: there is nothing to hear" : decided ? "" : "no label reaches its threshold";
  card.replaceChildren(
    element("h2", { dir: "auto" }, found.file, " ", element("small", {}, `${(Math.round(10 * found.seconds) / 10).toLocaleString("en")} s`)),
    element("p", { class: "facts" }, quiet), element("p", { class: "warning" }, found.damage ?? ""),
    element("ul", { class: "plain" }, ...found.labels.slice(0, Math.max(SHOWN, decided)).map(row)));
}

function take(files) {
  for (const file of files) {
    const said = element("p", { class: "facts" }, "waiting …");
    const card = element("article", { class: "question drop" }, element("h2", { dir: "auto" }, file.name), said);
    at("heard").prepend(card);
    work = work.then(async () => {
      said.textContent = "is being heard …";
      try {
        draw(card, await send(file));
      } catch (error) {
        said.replaceWith(element("p", { class: "warning", role: "alert" }, error.message));
      }
    });
  }
}

at("choose").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
for (const name of ["dragover", "dragenter", "dragleave", "drop"]) document.addEventListener(name, (event) => {
  event.preventDefault();
  at("zone").classList.toggle("over", name === "dragover" || name === "dragenter");
});
document.addEventListener("drop", (event) => take(event.dataTransfer.files));
