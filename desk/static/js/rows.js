// A list of duties by keyboard: J and K move, E does, S opens the menu, Z takes back. Every key has its button, and
// stands in the list behind the question mark.
import { lettersWork, shortcuts } from "./desk.js";

const list = document.querySelector("[data-rows]");

function rows() {
  return [...list.querySelectorAll("[data-row]")];
}

function here() {
  return document.activeElement?.closest?.("[data-key]") ?? null;
}

function move(step) {
  const all = rows();
  const at = all.findIndex((each) => each.closest("[data-key]") === here());
  all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1)]?.focus();
}

function act(what) {
  const button = (here() ?? list).querySelector(`[data-do="${what}"]`);
  if (!button || !here()) return;
  button.click();
  if (what === "menu") button.parentElement.querySelector(".item")?.focus();
}

const KEYS = {
  j: () => move(1), k: () => move(-1), e: () => act("done"), s: () => act("menu"),
  z: () => document.querySelector("[data-undo]")?.click(), "?": shortcuts,
};

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest?.("input, textarea, select, [contenteditable], dialog[open]");
  if (busy || !lettersWork() || event.ctrlKey || event.metaKey || event.altKey) return;
  const does = KEYS[event.key.toLowerCase()];
  if (!does) return;
  event.preventDefault();
  does();
});
