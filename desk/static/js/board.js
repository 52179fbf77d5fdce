// The stage board: cards are dragged, or moved by Alt with an arrow; where a stage asks for a reason a dialog does.
import { ask, toast } from "./ask.js";
import { age } from "./words.js";

const root = document.querySelector("[data-board]");
const dialog = document.getElementById("reason-dialog");
let dragged = null;

// One of the two has to be given; the browser says so at the field.
function needed() {
  const [chosen, words] = dialog.querySelectorAll("select, input");
  chosen.required = !words.value.trim();
}
dialog?.addEventListener("input", needed);

async function reason(card, column) {
  if (!("asksReason" in column.dataset)) return {};
  const name = card.querySelector("a b").textContent;
  dialog.querySelector("[data-reason-words]").textContent = `${name} → ${column.getAttribute("aria-label")}`;
  dialog.querySelector("form").reset();
  needed();
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  if (dialog.returnValue !== "move") return null;
  const given = new FormData(dialog.querySelector("form"));
  return { reason: given.get("reason"), reason_text: given.get("reason_text") };
}

async function move(card, column) {
  if (!column || "gone" in column.dataset || column.contains(card)) return;
  const why = await reason(card, column);
  if (why === null) return;
  const id = card.dataset.card;
  const home = card.parentElement;
  column.querySelector(".board-cards").prepend(card);
  const body = new URLSearchParams({ stage: column.dataset.stage, back: root.dataset.liveHref, ...why });
  try {
    const answer = await ask(`/profiles/${id}/stage`, { method: "POST", body });
    if (!answer.redirected) throw new Error("a reason is needed");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector('[data-live="board"]');
    root.querySelector('[data-live="board"]').innerHTML = fresh.innerHTML;
    window.htmx?.process(root);
    age();
    root.querySelector(`[data-card="${CSS.escape(id)}"] a`)?.focus();
  } catch (error) {
    home.prepend(card);
    if (error.message) toast(error.message);
  }
}

root.addEventListener("dragstart", (event) => {
  dragged = event.target.closest("[data-card]");
  if (!dragged) return;
  root.dataset.busy = "yes";
  dragged.classList.add("is-dragged");
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.card);
});
root.addEventListener("dragover", (event) => {
  const column = event.target.closest("[data-stage]");
  if (!dragged || !column || "gone" in column.dataset) return;
  event.preventDefault();
  for (const each of root.querySelectorAll(".is-over")) if (each !== column) each.classList.remove("is-over");
  column.classList.add("is-over");
});
root.addEventListener("drop", (event) => {
  const column = event.target.closest("[data-stage]");
  if (!dragged || !column) return;
  event.preventDefault();
  move(dragged, column);
});
root.addEventListener("dragend", () => {
  delete root.dataset.busy;
  for (const each of root.querySelectorAll(".is-over, .is-dragged")) each.classList.remove("is-over", "is-dragged");
  dragged = null;
});
root.addEventListener("keydown", (event) => {
  const card = event.target.closest?.("[data-card]");
  if (!card || !event.altKey || !["ArrowLeft", "ArrowRight"].includes(event.key) || !card.draggable) return;
  event.preventDefault();
  const columns = [...root.querySelectorAll("[data-stage]:not([data-gone])")];
  move(card, columns[columns.indexOf(card.closest("[data-stage]")) + (event.key === "ArrowRight" ? 1 : -1)]);
});
// The "move to" forms ask in the dialog too, instead of on a page of their own.
root.addEventListener("submit", (event) => {
  const card = event.target.closest("[data-card]");
  const stage = event.target.elements.stage?.value;
  if (!card || !stage) return;
  event.preventDefault();
  move(card, root.querySelector(`[data-stage="${CSS.escape(stage)}"]`));
});
