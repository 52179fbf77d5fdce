// The editor of templates: what is written is drawn and checked at once, blocks are dragged, variables inserted. The
// server draws everything; without this the same buttons do the same.
import { part, toast } from "./ask.js";

const form = document.querySelector("[data-editor]");
const TYPING_MS = 500;
let timer = 0;
let running = null;
let last = null;

/** Draw the letter in its frame, by the form's own button. */
function show() {
  const button = form.querySelector("[data-show]");
  if (button) form.requestSubmit(button);
}

/** Send the form as if `act` had been pressed; `whole`: the fields change too. */
async function send(act, whole) {
  clearTimeout(timer);
  running?.abort();
  const mine = (running = new AbortController());
  const body = new URLSearchParams(new FormData(form));
  body.set("act", act);
  const seen = form.querySelector('[data-part="seen"]');
  seen.setAttribute("aria-busy", "true");
  try {
    const fresh = await part(location.href, { method: "POST", body, signal: mine.signal });
    if (mine !== running) return;
    const other = fresh.querySelector("[data-editor]");
    if (whole) form.querySelector(".letter-form").replaceWith(other.querySelector(".letter-form"));
    seen.replaceWith(other.querySelector('[data-part="seen"]'));
    if (act === "preview") choose(other.querySelector('[data-part="as"]'));
    if (whole) prepare();
    show();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message);
    seen.removeAttribute("aria-busy");
  }
}

/** Whom the words find stands beside the field in which they are written. */
function choose(fresh) {
  const own = form.querySelector('[data-part="as"]');
  if (!own || !fresh || own.contains(document.activeElement) && document.activeElement.matches("select")) return;
  const field = own.querySelector("input");
  for (const each of [...own.children].slice(1)) each.remove();
  own.append(...[...fresh.children].slice(1));
  if (document.activeElement !== field) field.value = fresh.querySelector("input").value;
}

/** Variables become buttons, and blocks can be dragged by their heads. */
function prepare() {
  for (const code of form.querySelectorAll("code[data-insert]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button button-small";
    button.append(code.cloneNode(true));
    button.addEventListener("click", () => insert(code.dataset.insert));
    code.replaceWith(button);
  }
  for (const head of form.querySelectorAll("[data-blocks] .letter-block-head")) head.draggable = true;
}

function insert(text) {
  const field = last?.isConnected ? last : form.querySelector("[data-blocks] textarea, #text, #body, #subject");
  if (!field) return;
  field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

form.addEventListener("focusin", ({ target }) => {
  if (target.matches("textarea, #subject, .letter-block input:not([type=checkbox], [type=number], [type=hidden])")) last = target;
});
form.addEventListener("input", ({ target }) => {
  if (target.matches("#name, #tags, select:not([data-redraws]), [data-narrow]")) return;
  clearTimeout(timer);
  timer = setTimeout(send, TYPING_MS, "preview", false);
});
form.addEventListener("submit", async (event) => {
  const act = event.submitter?.value;
  if (!act || act === "save" || act === "test") return;
  event.preventDefault();
  const [deed, place] = act.split(":");
  const whole = !["preview", "links"].includes(deed);
  await send(act, whole);
  if (!whole) return;
  const at = { up: Number(place) - 1, down: Number(place) + 1 }[deed];
  const again = deed === "remove" ? "[value=put_back]" : `[data-testid="${deed}-${at}"], [data-testid="block-${at}"] button`;
  const blocks = form.querySelectorAll(".letter-block");
  (deed === "add" ? form.querySelector(`[value="${act}"]`) : form.querySelector(again))?.focus();
  if (deed === "add") [...blocks].at(-1)?.scrollIntoView({ block: "nearest" });
});

let dragged = null;
form.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.(".letter-block") ?? null;
  event.dataTransfer.effectAllowed = "move";
});
form.addEventListener("dragover", (event) => {
  const over = event.target.closest?.(".letter-block");
  if (!dragged || !over) return;
  event.preventDefault();
  for (const each of form.querySelectorAll(".is-over")) each.classList.remove("is-over");
  over.classList.add("is-over");
});
form.addEventListener("drop", (event) => {
  const over = event.target.closest?.(".letter-block");
  if (!dragged || !over) return;
  event.preventDefault();
  if (over !== dragged) send(`move:${dragged.dataset.place}:${over.dataset.place}`, true);
  dragged = null;
});
form.addEventListener("dragend", () => {
  dragged = null;
  for (const each of form.querySelectorAll(".is-over")) each.classList.remove("is-over");
});

prepare();
show();
