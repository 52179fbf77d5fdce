// The palette (Ctrl-K, Cmd-K): whatever the page can do, by its name. It knows nothing of its own: it presses the buttons and links that are there.
import { word } from "./words.js";

const dialog = document.getElementById("palette");
const field = dialog?.querySelector("input");
const list = dialog?.querySelector("[role=listbox]");
/** Where buttons and links stand that do something, the nearest to the work first. */
const PLACES = ".talk-actions, .queue-head, .page-head, .page-tools, .rail";
const MOST = 12;
let commands = [];
let shown = [];
let at = 0;

const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const said = (each) => (each.getAttribute("aria-label") || words(each) || each.title || "").trim();

/** The words of an element without its keys and figures; what stands apart on the page stays apart. */
function words(each) {
  const copy = each.cloneNode(true);
  for (const part of copy.querySelectorAll("kbd, .num, .count, [aria-hidden=true]")) part.remove();
  for (const part of copy.querySelectorAll(".end")) part.before(" · ");
  return copy.textContent.replace(/\s+/g, " ").replace(/( ·)+ $/, "");
}

/** Of something in a menu the menu's own name goes before. */
function name(each) {
  const menu = each.closest("details.menu");
  const summary = menu?.querySelector("summary");
  const of = summary && !each.closest(".rail") ? summary.getAttribute("aria-label") || summary.title.replace(/ \(\w\)$/, "") : "";
  return of ? `${of}: ${said(each)}` : said(each);
}

function gather() {
  const found = new Map();
  for (const place of PLACES.split(", ").flatMap((each) => [...document.querySelectorAll(each)])) {
    for (const each of place.querySelectorAll("a[href], button:not([disabled])")) {
      if (each.closest("dialog, .filters, .own-time, form[role=search]") || each.matches("[aria-current=page]")) continue;
      const called = name(each);
      if (called && !found.has(called)) found.set(called, each);
    }
  }
  return [...found].map(([called, element]) => ({ called, element }));
}

function show() {
  const asked = plain(field.value).split(/\s+/).filter(Boolean);
  shown = commands.filter((each) => asked.every((part) => plain(each.called).includes(part))).slice(0, MOST);
  if (field.value.trim()) shown.push({ called: word("search_for").replace("#", field.value.trim()), element: null });
  at = Math.min(at, Math.max(0, shown.length - 1));
  list.replaceChildren(...shown.map((each, place) => {
    const option = document.createElement("li");
    option.id = `palette-${place}`;
    option.role = "option";
    option.className = "item";
    option.textContent = each.called;
    option.ariaSelected = String(place === at);
    option.addEventListener("click", () => run(each));
    return option;
  }));
  mark();
}

function mark() {
  for (const [place, option] of [...list.children].entries()) option.ariaSelected = String(place === at);
  if (list.children[at]) field.setAttribute("aria-activedescendant", `palette-${at}`);
  else field.removeAttribute("aria-activedescendant");
  list.children[at]?.scrollIntoView({ block: "nearest" });
}

function run(command) {
  if (!command) return;
  if (!command.element) return field.form.submit();
  dialog.close();
  command.element.click();
}

function open() {
  if (dialog.open) return dialog.close();
  commands = gather();
  field.value = "";
  at = 0;
  show();
  dialog.showModal();
  field.focus();
}

if (dialog) {
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    open();
  });
  document.addEventListener("click", (event) => { if (event.target.closest?.("[data-palette]")) open(); });
  field.addEventListener("input", () => { at = 0; show(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      at = (at + (event.key === "ArrowDown" ? 1 : -1) + shown.length) % Math.max(1, shown.length);
      mark();
    } else if (event.key === "Enter" && !event.isComposing) run(shown[at]);
    else return;
    event.preventDefault();
  });
}
