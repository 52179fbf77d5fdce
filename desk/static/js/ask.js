// Requests to our own server: token, errors as sentences, parts of pages.
const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";

export class Refusal extends Error {
  constructor(status, detail, code = "") {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** Fetch; throws `Refusal` with a sentence. A lost session leads to the sign-in page. */
export async function ask(url, { method = "GET", body, headers = {}, ...rest } = {}) {
  const extra = { "X-Desk": "1", ...headers };
  if (method !== "GET") extra["X-CSRF-Token"] = csrf;
  const answer = await fetch(url, { method, body, headers: extra, credentials: "same-origin", ...rest });
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") {
    // The answer names what was asked for, which may be a part of a page: back they come to the page itself.
    location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Refusal(401, "");
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Refusal(answer.status, problem.detail ?? answer.statusText, problem.code);
  }
  return answer;
}

/** A part of a page, parsed and not yet in it; `url`: where it came from in the end. */
export async function part(url, options) {
  const answer = await ask(url, options);
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return Object.assign(holder.content, { url: answer.url });
}

/** Say something for a moment; with a way back for longer. */
export function toast(text, undo) {
  document.querySelector(".toast")?.remove();
  const box = document.createElement("div");
  box.className = "toast";
  box.setAttribute("role", "status");
  box.textContent = text;
  if (undo) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "toast-undo";
    button.textContent = undo.label;
    button.addEventListener("click", () => { box.remove(); undo.act(); });
    box.append(button);
  }
  document.body.append(box);
  setTimeout(() => box.remove(), undo ? 10000 : 4500);
}
