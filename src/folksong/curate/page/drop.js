// Recordings that are dropped: heard one after another, their labels shown, and written into a copy on request.

import { ask, element, root, say } from "./page.js";

const at = (id) => document.getElementById(id);
const SHOWN = 10; // labels, and more where more reach their threshold
let work = Promise.resolve();

const percent = (score) => `${Math.round(100 * score)}%`;

async function send(file) {
  const answer = await fetch(`${root}/drop/take`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream", "X-Name": encodeURIComponent(file.name) },
    body: file,
  }).catch(() => { throw new Error(`${file.name}: could not be sent; is the app still running in its terminal?`); });
  const content = await answer.json().catch(() => ({}));
  if (answer.status === 413) throw new Error(`${file.name}: too large`);
  if (!answer.ok) throw new Error(content.error ?? `${file.name}: refused (${answer.status})`);
  return content;
}

function draw(card, found) {
  const decided = found.labels.filter(([, score, threshold]) => score >= threshold).length;
  const shown = found.labels.slice(0, Math.max(SHOWN, decided));
  const boxes = shown.map(([label, score, threshold]) => {
    const box = element("input", { type: "checkbox", value: label });
    box.checked = score >= threshold;
    const row = element("label", { class: "heard" }, box, element("span", { dir: "auto" }, label), element("span", { class: "meter" }, element("span")), element("small", {}, `${percent(score)} (from ${percent(threshold)})`));
    row.querySelector(".meter span").style.width = percent(score);
    return { box, row };
  });
  const write = element("button", { type: "button" }, "Write the labels into a copy");
  const said = element("p", { class: "facts" });
  write.addEventListener("click", async () => {
    const labels = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
    try {
      const { after } = await ask("/drop/write", { key: found.key, labels, field: at("field").value });
      const link = element("a", { href: `${root}/drop/written?${new URLSearchParams({ key: found.key })}`, download: found.name }, "save the copy");
      said.replaceChildren(`${at("field").value}: ${after.join("; ")} – `, link);
    } catch (error) {
      say(error.message, true);
    }
  });
  const quiet = found.silent ? "silence: there is nothing to hear" : decided ? "" : "no label reaches its threshold";
  card.replaceChildren(
    element("h2", { dir: "auto" }, found.name, " ", element("small", {}, `${found.seconds.toLocaleString("en")} s`)),
    element("p", { class: "facts" }, quiet), ...boxes.map(({ row }) => row), ...(found.silent ? [] : [write, said]));
}

function take(files) {
  for (const file of files) {
    const card = element("article", { class: "question drop" }, element("h2", { dir: "auto" }, file.name), element("p", { class: "facts" }, "waiting …"));
    at("dropped").prepend(card);
    work = work.then(async () => {
      card.querySelector("p").textContent = "is being heard …";
      try {
        draw(card, await send(file));
      } catch (error) {
        card.replaceChildren(element("h2", { dir: "auto" }, file.name), element("p", { class: "warning", role: "alert" }, error.message));
      }
    });
  }
}

ask("/drop/kept").then(({ kept }) => {
  for (const found of kept) {
    const card = element("article", { class: "question drop" });
    draw(card, found);
    at("dropped").prepend(card);
  }
}).catch((error) => say(error.message, true));

at("choose").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
for (const name of ["dragover", "dragenter"]) document.addEventListener(name, (event) => {
  event.preventDefault();
  at("zone").classList.add("over");
});
for (const name of ["dragleave", "drop"]) document.addEventListener(name, (event) => {
  event.preventDefault();
  at("zone").classList.remove("over");
});
document.addEventListener("drop", (event) => take(event.dataTransfer.files));
