// Canned replies while one writes: a slash and a few letters, a list above the text, the one that is chosen filled in.
import { ask, toast } from "./ask.js";
import { word } from "./words.js";

const WAIT_MS = 120;
const SHOWN = 8;
/** A slash at the beginning or after a space, and what was typed since. */
const ASKED = /(?:^|\s)\/([^\s/]{0,40})$/u;

let list = null;
let asked = 0;
let timer = 0;

/** Look at what stands before the caret of `field`; `use(filled, from)` gets what was chosen for `talk`. */
export function look(field, talk, use) {
  const found = ASKED.exec(field.value.slice(0, field.selectionStart));
  clearTimeout(timer);
  if (!found || field.selectionStart !== field.selectionEnd) return close(field);
  timer = setTimeout(() => show(field, talk, found[1], use), WAIT_MS);
}

async function show(field, talk, words, use) {
  const turn = ++asked;
  const query = new URLSearchParams({ conversation: talk, limit: SHOWN, ...(words && { q: words }) });
  let rows;
  try { rows = (await (await ask(`/api/v1/canned-replies?${query}`)).json()).data; } catch { return close(field); }
  if (turn !== asked || !field.isConnected) return;
  if (!rows.length) return close(field);
  const from = field.selectionStart - words.length - 1;
  close(field);
  list = Object.assign(document.createElement("ul"), { className: "canned", id: "canned" });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", word("canned"));
  list.dataset.testid = "canned";
  list.append(...rows.map((row, place) => {
    const item = Object.assign(document.createElement("li"), { id: `canned-${place}` });
    item.setAttribute("role", "option");
    const name = Object.assign(document.createElement("b"), { textContent: `/${row.shortcut}` });
    const rest = Object.assign(document.createElement("span"), { className: "clip", textContent: [row.title, row.url ? new URL(row.url).host : row.text.replace(/\s+/g, " ")].filter(Boolean).join(" · ") });
    item.append(name, " ", rest);
    item.addEventListener("mousedown", (event) => event.preventDefault()); // the caret stays in the text
    item.addEventListener("click", () => choose(field, talk, row.id, from, use));
    return item;
  }));
  field.before(list);
  field.setAttribute("aria-controls", "canned");
  point(field, 0);
}

function point(field, place) {
  const all = [...list.children];
  const at = (place + all.length) % all.length;
  for (const [n, each] of all.entries()) each.setAttribute("aria-selected", String(n === at));
  all[at].scrollIntoView({ block: "nearest" });
  field.setAttribute("aria-activedescendant", all[at].id);
}

/** A key that was pressed in the text: while the list is open some are for it. */
export function key(field, event) {
  if (!list || event.ctrlKey || event.metaKey || event.isComposing) return;
  const at = [...list.children].findIndex((each) => each.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") point(field, at + (event.key === "ArrowDown" ? 1 : -1));
  else if (event.key === "Enter" || event.key === "Tab") list.children[at].click();
  else if (event.key === "Escape") close(field);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

async function choose(field, talk, id, from, use) {
  const to = field.selectionStart;
  close(field);
  try {
    const body = JSON.stringify({ conversation_id: talk });
    const made = await (await ask(`/api/v1/canned-replies/${id}/render`, { method: "POST", body, headers: { "Content-Type": "application/json" } })).json();
    if (made.fault) toast(word(`canned_${made.fault.code}`));
    else if (field.isConnected) use(made, from, to);
  } catch (error) { toast(error.message || word("failed")); }
}

export function close(field) {
  asked += 1;
  list?.remove();
  list = null;
  field?.removeAttribute("aria-activedescendant");
  field?.removeAttribute("aria-controls");
}
