// What all views share: asking our own server, and saying what happened.

export const root = document.documentElement.dataset.root;

/** Say a line to the reader, aloud for those who listen to pages; an error stays until the next line. */
export function say(text, isError = false) {
  const status = document.getElementById("status");
  status.textContent = text;
  status.classList.toggle("error", isError);
  clearTimeout(say.timer);
  if (text && !isError) say.timer = setTimeout(() => (status.textContent = ""), 6000);
}

/** Ask the server: GET, or POST of JSON where there is a body. Gives the JSON answer, or throws its error. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  for (let attempt = 0; ; attempt++) {
    let answer;
    try {
      answer = await fetch(root + path, options);
    } catch (error) {
      throw new Error("The app does not answer: is it still running in its terminal?");
    }
    if (answer.status === 503 && attempt < 5) { // too many at once; nothing was done
      await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
      continue;
    }
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(content.error ?? `Refused (${answer.status})`), { content });
    return content;
  }
}

/** Make an element: element("li", {class: "tag", onclick: …}, "text", child, …). Text stays text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Whether a key is pressed for itself: not while one types, nor with Ctrl or Alt. */
export function isPlainKey(event) {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  return !typing && !event.ctrlKey && !event.metaKey && !event.altKey;
}
