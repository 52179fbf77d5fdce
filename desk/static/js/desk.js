// What every page does: menus, copying, ages, themes, shortcuts; then the module of the page itself.
import { ask, toast } from "./ask.js";
import "./bell.js";
import { on } from "./live.js";
import "./palette.js";
import { age, word } from "./words.js";

// Menus close when something else is clicked, on Escape, and when another one opens.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
    event.stopPropagation();
  }
});
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.menu[open]")) return;
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== event.target) menu.open = false;
}, true);
document.addEventListener("keydown", (event) => {
  const menu = event.target.closest?.("details.menu[open]");
  if (!menu || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
  const items = [...menu.querySelectorAll(".item, .switch button")].filter((each) => each.offsetParent);
  const at = items.indexOf(document.activeElement);
  items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length]?.focus();
  event.preventDefault();
});

// Copying.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    button.parentElement.querySelector("input")?.select();
    document.execCommand("copy");
  }
  const label = button.querySelector("span") ?? button;
  const before = label.textContent;
  label.textContent = word("copied");
  setTimeout(() => { label.textContent = before; }, 1600);
});

// A link to a part of the page opens what is folded there.
function unfold() {
  const folded = document.getElementById(location.hash.slice(1))?.querySelector("details:not(.menu)");
  if (!folded) return;
  folded.open = true;
  folded.querySelector("input:not([type=hidden]), textarea")?.focus();
}
addEventListener("hashchange", unfold);
unfold();

// A strip that is wider than the window shows where one is.
for (const strip of document.querySelectorAll(".strip")) {
  const here = strip.querySelector("[aria-current]");
  if (here) strip.scrollLeft = here.offsetLeft - strip.offsetLeft - (strip.clientWidth - here.offsetWidth) / 2;
}

// A theme shows at once; the form behind it keeps it.
document.addEventListener("click", (event) => {
  const choice = event.target.closest?.("[data-theme-choice]");
  if (choice) document.documentElement.dataset.theme = choice.value;
});

// Who ticks one of several says "these alone" with it.
document.addEventListener("change", (event) => {
  const these = event.target.matches?.("[type=checkbox]:checked") && event.target.closest("fieldset")?.querySelector("[data-these]");
  if (these) these.checked = true;
});

// The shortcuts' list, and whether keys of one letter do something: who speaks to the machine, or strikes keys by
// mistake, switches them off for this browser (WCAG 2.2, 2.1.4).
const LETTERS = "rapport-keys-off";
export const lettersWork = () => localStorage.getItem(LETTERS) === null;
export function shortcuts() {
  const list = document.getElementById("shortcuts");
  if (!list) return;
  list.querySelector("[data-letters]").checked = lettersWork();
  list.showModal();
}
document.addEventListener("change", (event) => {
  if (!event.target.matches?.("[data-letters]")) return;
  if (event.target.checked) localStorage.removeItem(LETTERS);
  else localStorage.setItem(LETTERS, "1");
});
document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-shortcuts]")) shortcuts();
  if (event.target.matches?.("dialog[open]")) event.target.close();
});

document.addEventListener("htmx:responseError", (event) => {
  let detail = word("failed");
  try { detail = JSON.parse(event.detail.xhr.responseText).detail ?? detail; } catch { /* no problem document */ }
  toast(detail);
});
document.addEventListener("htmx:sendError", () => toast(word("offline")));

// The figures on the rail follow the stream, at most once in three seconds.
let counting = 0;
// Sample data that is still on its way says how far it is, until all is there.
function arrives(percent) {
  const box = document.querySelector(".arriving");
  if (!box) return;
  if (percent === null) {
    box.remove();
    return;
  }
  box.querySelector("progress").value = percent;
  const words = box.querySelector("[data-words]");
  words.textContent = words.dataset.words.replace("#", percent);
  counting ||= setTimeout(counts, 3000);
}
async function counts() {
  counting = 0;
  if (document.hidden) return;
  try {
    const found = await (await ask("/counts")).json();
    for (const each of document.querySelectorAll("[data-count]")) {
      const count = found[each.dataset.count] ?? 0;
      each.hidden = !count;
      each.textContent = count > 99 ? "99+" : count;
    }
    arrives(found.arriving);
  } catch { /* the next notice tries again */ }
}
on("*", (_, type) => {
  if (/^(conversation|message|task)\.|^reset$/.test(type)) counting ||= setTimeout(counts, 3000);
});
counts();
document.addEventListener("visibilitychange", () => { if (!document.hidden) counts(); });

// A flow wider than the screen opens at its middle, where it begins.
const stage = document.querySelector(".flow-stage");
if (stage) stage.scrollLeft = (stage.scrollWidth - stage.clientWidth) / 2;

// A day that is chosen is said in words too: browsers show numbers in an order of their own.
document.addEventListener("input", (event) => {
  const says = event.target.matches?.(".day") && document.querySelector(`[data-says="${CSS.escape(event.target.id)}"]`);
  if (!says) return;
  const { value, type } = event.target;
  const style = { dateStyle: "full", ...(type === "date" ? {} : { timeStyle: "short" }) };
  const at = new Date(type === "date" ? `${value}T00:00` : value);
  const language = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
  says.textContent = Number.isNaN(at.valueOf()) ? "" : new Intl.DateTimeFormat(language, style).format(at);
});

age();
setInterval(age, 20000);

const zone = document.querySelector("input[data-zone]");
if (zone) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;

const MODULES = [
  ["[data-inbox]", "./inbox.js"], ["[data-live-page]", "./watch.js"], ["[data-board]", "./board.js"],
  ["[data-journey]", "./builder.js"], ["[data-builder]", "./segments.js"], ["[data-key-of]", "./keys.js"], ["[data-push]", "./push.js"],
  ["[data-rows]", "./rows.js"], ["[data-calls]", "./calling.js"],
];
const wanted = MODULES.filter(([mark]) => document.querySelector(mark));
// Said when the page's own keys work; who looks at the page by a program waits for it.
Promise.all(wanted.map(([, module]) => import(module))).then(() => { document.documentElement.dataset.ready = "yes"; });
