// A list above a text while one writes: what fits the letters before the caret, gone through by keys, one of it taken.
let list = null;
let note = null;
let field = null;

/** Offer `rows` of `{ name, rest, take }` to who writes in `text`; none close what is open. `id` is the list's and a test's. */
export function offer(text, id, label, rows) {
  close();
  if (!rows.length) return;
  field = text;
  list = Object.assign(document.createElement("ul"), { className: "offers", id });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", label);
  list.dataset.testid = id;
  list.append(...rows.map(({ name, rest, take }, place) => {
    const item = Object.assign(document.createElement("li"), { id: `${id}-${place}` });
    item.setAttribute("role", "option");
    item.append(Object.assign(document.createElement("b"), { textContent: name }), " ");
    item.append(Object.assign(document.createElement("span"), { className: "clip", textContent: rest }));
    item.addEventListener("mousedown", (event) => event.preventDefault()); // the caret stays in the text
    item.addEventListener("click", () => { close(); take(); });
    return item;
  }));
  field.before(list);
  field.setAttribute("aria-controls", id);
  point(0);
}

/** Say that nothing fits, and (`label`, `href`) where that is changed. What says so already stays: it is read once. */
export function tell(text, id, sentence, label, href) {
  const link = Object.assign(document.createElement("a"), { href, textContent: label });
  if (note?.dataset.testid === id && note.firstChild.textContent === `${sentence} `) return note.querySelector("a").replaceWith(link);
  close();
  field = text;
  note = Object.assign(document.createElement("p"), { className: "offers offers-none" });
  note.setAttribute("role", "status");
  note.dataset.testid = id;
  field.before(note);
  note.append(`${sentence} `, link);
}

export function close() {
  list?.remove();
  note?.remove();
  field?.removeAttribute("aria-activedescendant");
  field?.removeAttribute("aria-controls");
  list = note = field = null;
}

function point(place) {
  const all = [...list.children];
  const at = (place + all.length) % all.length;
  for (const [n, each] of all.entries()) each.setAttribute("aria-selected", String(n === at));
  all[at].scrollIntoView({ block: "nearest" });
  field.setAttribute("aria-activedescendant", all[at].id);
}

// Before anybody else: while the list is open some keys of the text are for it.
document.addEventListener("keydown", (event) => {
  if (note && event.key === "Escape" && (event.target === field || note.contains(event.target))) {
    field.focus();
    close();
    event.preventDefault();
    event.stopPropagation();
    return;
  }
  if (!list || event.target !== field || event.ctrlKey || event.metaKey || event.isComposing) return;
  const at = [...list.children].findIndex((each) => each.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") point(at + (event.key === "ArrowDown" ? 1 : -1));
  else if (event.key === "Enter" || event.key === "Tab") list.children[at].click();
  else if (event.key === "Escape") close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);
document.addEventListener("focusout", (event) => {
  const stays = note && [field, note].some((each) => each.contains(event.relatedTarget));
  if (!stays && (event.target === field || note?.contains(event.target))) close();
});
