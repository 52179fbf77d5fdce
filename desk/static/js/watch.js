// Pages with counts and lists that follow the stream: the marked part is read anew, at most once in two seconds.
import { part } from "./ask.js";
import { on } from "./live.js";
import { age } from "./words.js";

const root = document.querySelector("[data-live-page]");
const types = root.dataset.livePage.split(" ").filter(Boolean);
let timer = 0;

// By what an unfolded part is known again.
function named(summary) {
  return summary.ariaLabel ?? summary.textContent;
}

async function again() {
  timer = 0;
  if (document.hidden || root.contains(document.activeElement?.closest?.("form"))) return;
  try {
    const fresh = (await part(root.dataset.liveHref ?? location.href)).querySelector("[data-live-page]");
    for (const each of fresh?.querySelectorAll("[data-live]") ?? []) {
      const old = root.querySelector(`[data-live="${CSS.escape(each.dataset.live)}"]`);
      // What somebody has unfolded stays open, and the row where they are keeps the focus.
      const open = new Set([...(old?.querySelectorAll("details[open] > summary") ?? [])].map(named));
      for (const one of each.querySelectorAll("details > summary")) if (open.has(named(one))) one.parentElement.open = true;
      if (!old || old.innerHTML === each.innerHTML) continue;
      const key = old.contains(document.activeElement) ? document.activeElement.closest("[data-key]")?.dataset.key : null;
      old.innerHTML = each.innerHTML;
      if (key) old.querySelector(`[data-key="${CSS.escape(key)}"] [data-row]`)?.focus();
    }
    age();
  } catch {
    timer ||= setTimeout(again, 5000);
  }
}

on("*", (_, type) => {
  if (types.some((each) => type === "reset" || type.startsWith(each))) timer ||= setTimeout(again, 2000);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
