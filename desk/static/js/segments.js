// Forms that show what comes of them while they are written: the segment builder, the steps of a broadcast, macros and
// rules. Rows come and
// go without a new page. All of it is the form's own answer: the server draws, this only puts the parts in place.
import { part, toast } from "./ask.js";

const form = document.querySelector("[data-builder]");
const TYPING_MS = 350;
/** What a button asks for that only changes the form; any other sends it. */
const HERE = /^(preview$|new$|less:|add:|where:|group:|remove:|up:|language|unlanguage:|arm$|unarm:)/;
let timer = 0;
let running = null;

/** Send the form as if `act` had been pressed, and put what comes back in place. */
async function send(act, whole) {
  clearTimeout(timer);
  running?.abort();
  const mine = (running = new AbortController());
  const body = new URLSearchParams(new FormData(form));
  body.set("act", act);
  form.querySelector('[data-part="seen"]')?.setAttribute("aria-busy", "true");
  try {
    const fresh = await part(form.action || location.href, { method: "POST", body, signal: mine.signal });
    if (mine === running) place(fresh, whole);
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message);
    if (mine === running) form.querySelector('[data-part="seen"]')?.removeAttribute("aria-busy");
  }
}

function place(fresh, whole) {
  for (const own of form.querySelectorAll(whole ? "[data-part]" : '[data-part="seen"]')) {
    const other = fresh.querySelector(`[data-part="${own.dataset.part}"]`);
    if (!other) continue;
    if (own.dataset.part !== "seen") keepPlace(() => own.replaceWith(other));
    else {
      own.innerHTML = other.innerHTML;
      own.removeAttribute("aria-busy");
    }
  }
  if (whole) return;
  for (const each of form.querySelectorAll("[data-fault]")) {
    const other = fresh.querySelector(`[data-fault="${CSS.escape(each.dataset.fault)}"]`);
    const html = other?.innerHTML ?? "";
    if (each.innerHTML !== html) each.innerHTML = html;
  }
}

/** Whoever is writing goes on writing, and an open list of choices stays open. */
function keepPlace(change) {
  const at = document.activeElement;
  const { name, value, type } = at ?? {};
  const open = [...form.querySelectorAll("details.checks[open] input")].map((each) => each.name);
  const ends = type === "text" ? [at.selectionStart, at.selectionEnd] : null;
  change();
  for (const each of form.querySelectorAll("details.checks")) each.open = open.includes(each.querySelector("input")?.name);
  if (!name) return;
  const again = [...form.querySelectorAll(`[name="${CSS.escape(name)}"]`)];
  const back = type === "checkbox" || type === "submit" ? again.find((each) => each.value === value) : again[0];
  back?.focus({ preventScroll: true });
  if (ends && back?.setSelectionRange) back.setSelectionRange(...ends);
}

form.addEventListener("input", (event) => {
  if (!form.querySelector('[data-part="seen"]')) return;
  if (event.target.matches("select, [type=checkbox], [type=radio], #name, #description")) return;
  clearTimeout(timer);
  timer = setTimeout(send, TYPING_MS, "preview", false);
});
form.addEventListener("change", (event) => {
  const { target } = event;
  if (target.matches("#name, #description")) return;
  const list = target.closest("details.checks");
  if (list) {
    const chosen = [...list.querySelectorAll("input:checked")].map((each) => each.dataset.label);
    list.querySelector("summary span").textContent = chosen.join(", ") || "…";
  }
  if (!form.querySelector('[data-part="seen"]')) return;
  if (target.matches("select, [type=checkbox], [type=radio]") || "redraws" in target.dataset) send("preview", "redraws" in target.dataset);
});

form.addEventListener("submit", async (event) => {
  const button = event.submitter;
  if (!button || !HERE.test(button.value)) return;
  event.preventDefault();
  const [deed, way] = button.value.split(":");
  const before = new Set([...form.querySelectorAll("[data-way]")].map((each) => each.dataset.way));
  await send(button.value, true);
  if (deed === "remove") {
    const above = way.split(".").slice(0, -1).join(".");
    form.querySelector(`[value="add:${above}"], [value="where:${above}"]`)?.focus();
  } else if (deed !== "preview") {
    const added = [...form.querySelectorAll("[data-way]")].filter((each) => !before.has(each.dataset.way)).pop();
    added?.querySelector("select, input:not([type=hidden])")?.focus();
  }
});

for (const each of form.querySelectorAll("[data-no-script]")) each.hidden = true;

// A variable goes where one was writing last.
let last = null;
form.addEventListener("focusout", (event) => {
  if (event.target.matches("[data-takes-variables]")) last = event.target;
});
form.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-insert]");
  const field = last?.isConnected ? last : form.querySelector("textarea[data-takes-variables]");
  if (!chosen || !field) return;
  field.focus();
  field.setRangeText(chosen.dataset.insert, field.selectionStart, field.selectionEnd, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
});
