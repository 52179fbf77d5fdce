// The inbox: opens conversations without leaving the page, follows the stream, sends at once, knows the keys.
import { Refusal, part, toast } from "./ask.js";
import { adopt, keepDraft, noteSeen, quote, ready, saved, serve } from "./composer.js";
import { lettersWork, shortcuts } from "./desk.js";
import { on } from "./live.js";
import { looking } from "./viewing.js";
import { offer } from "./acts.js";
import "./voice.js";
import { age, word } from "./words.js";

const inbox = document.querySelector("[data-inbox]");
const rows = () => document.getElementById("rows");
const stage = document.getElementById("stage");
const title = document.title.split(" · ").slice(-2).join(" · ");
const view = () => document.getElementById("queue").dataset.view;
const talk = () => document.getElementById("talk");
const open = () => talk()?.dataset.conversation ?? "";
/** The conversations whose lines are shown as one. */
const threads = () => talk()?.dataset.threads?.split(" ") ?? [];
const lines = () => document.getElementById("lines");
const writing = () => document.getElementById("text");

// -- opening ---------------------------------------------------------------------------------------------------------

let opening = null;

/** Show a conversation in the stage. The address follows, so that Back and Reload work. */
async function show(href, { push = true, focus = false } = {}) {
  keepDraft();
  opening?.abort();
  const { signal } = opening = new AbortController();
  const url = new URL(href, location.href);
  mark(url.pathname.split("/").pop());
  const slow = setTimeout(() => stage.classList.add("is-loading"), 200);
  try {
    await saved(url.pathname.split("/").pop());
    const fresh = await part(url, { headers: { "HX-Target": "stage" }, signal });
    stage.replaceChildren(fresh);
    typists.clear();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message || word("failed"));
    return;
  } finally {
    clearTimeout(slow);
    stage.classList.remove("is-loading");
  }
  inbox.dataset.pane = url.searchParams.get("pane") === "customer" ? "customer" : "conversation";
  if (leaving) return;
  if (push) history.pushState({ open: open() }, "", url);
  const name = stage.querySelector("h2")?.textContent.trim();
  document.title = name ? `${name} · ${title}` : title;
  document.querySelector(`#row-${CSS.escape(open())}`)?.classList.remove("is-unread");
  document.querySelector(`#row-${CSS.escape(open())} .count`)?.remove();
  ready();
  looking(open());
  age();
  if (focus) writing()?.focus();
}

/** The page is being left (a search, another page): an address set now would call that off. A download leaves nothing. */
let leaving = false;
addEventListener("beforeunload", () => {
  leaving = true;
  setTimeout(() => { leaving = false; }, 3000);
});

function mark(id) {
  for (const each of rows().querySelectorAll("a[aria-current]")) each.removeAttribute("aria-current");
  const row = document.getElementById(`row-${id}`);
  row?.querySelector("a").setAttribute("aria-current", "true");
  row?.scrollIntoView({ block: "nearest" });
}

function showList() {
  keepDraft();
  looking("");
  inbox.dataset.pane = "list";
}

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const link = event.target.closest?.("[data-open-conversation], [data-customer], .talk-head a.only-narrow, .customer-head a.only-narrow");
  if (!link || !inbox.contains(link)) return;
  event.preventDefault();
  const url = new URL(link.href);
  if (url.pathname === "/inbox") {
    showList();
    history.pushState({}, "", url);
  } else if (url.pathname.endsWith(open()) && open()) {
    opening?.abort(); // another one was on its way
    inbox.dataset.pane = url.searchParams.get("pane") === "customer" ? "customer" : "conversation";
    looking(open());
    history.pushState({ open: open() }, "", url);
    mark(open());
  } else show(link.href);
});
addEventListener("popstate", () => {
  if (location.pathname === "/inbox") location.reload();
  else show(location.href, { push: false });
});

// -- the stream ------------------------------------------------------------------------------------------------------

const changed = new Set();
let rowTimer = 0;
let threadTimer = 0;
let reading = false;
let again = false;

on("*", (data, type) => {
  if (type === "reset") return everything();
  const id = data?.conversation_id ?? (type.startsWith("conversation.") ? data?.id : null);
  if (!id || isElsewhere(id, data, type)) return;
  changed.add(id);
  rowTimer ||= setTimeout(freshRows, pause());
  if (threads().includes(id)) threadTimer ||= setTimeout(freshThread, 60);
});

/** Neither listed nor open, and nothing that could bring it here: somebody else's where only one's own are listed, or a
 * message (who has a conversation is told as a change of the conversation). */
function isElsewhere(id, data, type) {
  if (document.getElementById(`row-${id}`) || threads().includes(id)) return false;
  if (new URLSearchParams(view()).get("view") !== "mine") return false;
  return type.startsWith("message.") || Boolean(data.assignee_id && data.assignee_id !== inbox.dataset.me);
}

/** Nothing a notice asked for is given up: when reading failed it is tried again, later each time. */
let patience = 500;
function later(again) {
  patience = Math.min(patience * 2, 10000);
  return setTimeout(again, patience);
}
addEventListener("online", () => { patience = 500; everything(); });

async function everything() {
  freshThread();
  try {
    const fresh = (await part(`/inbox?${view()}`)).querySelector("#rows");
    if (fresh) rows().replaceChildren(...fresh.children);
    mark(open());
    counts();
  } catch { later(everything); }
}

/** What is rare is shown at once; what comes thick is read together, two or three times a second. */
let rowsRead = 0;
const pause = () => Math.max(30, rowsRead + 400 - performance.now());

/** Read changed rows anew: replaced, moved to their place, or gone from this view. */
async function freshRows() {
  rowTimer = 0;
  rowsRead = performance.now();
  if (new URLSearchParams(view()).get("q")) return changed.clear();
  const ids = [...changed].slice(0, 100);
  for (const id of ids) changed.delete(id);
  try {
    const found = (await part(`/inbox/rows?${view()}&ids=${ids.join(",")}`)).querySelector("#rows");
    for (const id of ids) settle(id, found.querySelector(`#row-${CSS.escape(id)}`));
    document.querySelector("#queue .empty")?.toggleAttribute("hidden", rows().childElementCount > 0);
    patience = 500;
    counts();
    if (changed.size) rowTimer ||= setTimeout(freshRows, pause());
  } catch {
    for (const id of ids) changed.add(id);
    rowTimer ||= later(freshRows);
  }
}

function settle(id, fresh) {
  const old = document.getElementById(`row-${id}`);
  if (!fresh) {
    if (old && id !== open()) old.remove();
    return;
  }
  if (id === open()) fresh.querySelector("a").setAttribute("aria-current", "true");
  const picked = old?.querySelector(".row-pick")?.checked;
  if (picked) fresh.querySelector(".row-pick").checked = true;
  const newer = !old || old.dataset.at < fresh.dataset.at;
  if (newer && id !== open()) fresh.classList.add("row-new");
  if (old && !newer) return old.replaceWith(fresh);
  const focused = old?.contains(document.activeElement);
  old?.remove();
  const before = [...rows().children].find((each) => each.dataset.at <= fresh.dataset.at);
  rows().insertBefore(fresh, before ?? null);
  if (focused) fresh.querySelector("a").focus();
}

let countTimer = 0;
function counts() {
  countTimer ||= setTimeout(async () => {
    countTimer = 0;
    try {
      const fresh = await part(`/inbox/tabs?${view()}`);
      const tabs = fresh.querySelector(".tabs");
      if (tabs) document.querySelector(".queue-head .tabs").replaceChildren(...tabs.childNodes);
      if (!document.querySelector(".queue-status[open]")) swap("saved-views", fresh);
    } catch { /* the next notice tries again */ }
  }, 1500);
}

/** Read the thread anew and change only what differs, so that nothing moves that needs not. */
async function freshThread() {
  threadTimer = 0;
  const id = open();
  if (!id) return;
  if (reading) { again = true; return; }
  reading = true;
  try {
    const whole = talk().hasAttribute("data-whole") ? "&all=1" : "";
    apply(await part(`/inbox/${id}/lines?${view()}${whole}`), id);
    patience = 500;
  } catch (error) {
    if (error instanceof Refusal && error.status === 404) location.assign("/inbox");
    else threadTimer ||= later(freshThread);
  } finally {
    reading = false;
    if (again) { again = false; freshThread(); }
  }
}

function apply(fresh, id, force = false) {
  if (id !== open()) return;
  const incoming = fresh.getElementById("lines");
  reconcile(lines(), incoming);
  swap("talk-actions", fresh);
  swap("talk-marks", fresh);
  swap("planned", fresh);
  const slot = document.getElementById("composer-slot");
  const next = fresh.getElementById("composer-slot");
  if (slot && next && (slot.dataset.closed !== next.dataset.closed)) {
    keepDraft();
    slot.dataset.closed = next.dataset.closed;
    slot.replaceChildren(...next.childNodes);
    ready();
  } else {
    const until = slot?.querySelector("[data-window]");
    if (until && next?.dataset.until) until.dataset.window = next.dataset.until;
    adopt(next, force);
  }
  noteSeen();
  age();
}

function swap(id, fresh) {
  const old = document.getElementById(id);
  const next = fresh.getElementById(id);
  if (old && next && old.innerHTML !== next.innerHTML && !old.querySelector("details.menu[open]")) old.replaceChildren(...next.childNodes);
}

/** Keyed: same id and same text stays; a line sent from here gives its place to the one the server knows. */
function reconcile(list, fresh) {
  const known = new Map([...list.children].map((each) => [each.dataset.id, each]));
  const byKey = new Map([...list.querySelectorAll("[data-key]")].map((each) => [each.dataset.key, each]));
  const items = [...fresh.children];
  const second = known.get(items[1]?.dataset.id);
  // The first day mark may repeat one that stands above earlier lines loaded since.
  if (items[0]?.matches(".day") && second && second.previousElementSibling?.dataset.id !== items[0].dataset.id) items.shift();
  let at = known.get(items.find((each) => known.has(each.dataset.id))?.dataset.id) ?? list.firstElementChild;
  for (const each of items) {
    const old = known.get(each.dataset.id) ?? byKey.get(each.dataset.key);
    if (old) unfold(old, each);
    if (old && same(old, each)) {
      if (old !== at) list.insertBefore(old, at);
      at = old.nextElementSibling;
    } else if (old) {
      if (old === at) at = at.nextElementSibling;
      const place = [...old.querySelectorAll(REACHED)].indexOf(document.activeElement);
      list.insertBefore(each, at);
      old.remove();
      if (place >= 0) each.querySelectorAll(REACHED)[place]?.focus();
    } else list.insertBefore(each, at);
  }
  while (at) {
    const next = at.nextElementSibling;
    if (!at.matches(".is-sending, .is-unsent")) at.remove();
    at = next;
  }
}

const REACHED = "a, button, summary";

/** A menu that somebody has opened stays open when its line is read anew. */
function unfold(old, fresh) {
  const folds = fresh.querySelectorAll("details");
  old.querySelectorAll("details").forEach((each, place) => {
    if (each.open && folds[place]?.className === each.className) folds[place].open = true;
  });
}

const same = (a, b) => a.className === b.className && a.innerHTML === b.innerHTML;

// -- earlier lines ---------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("[data-earlier]");
  if (!link) return;
  event.preventDefault();
  try {
    const fresh = await part(link.href);
    const list = lines();
    const head = list.firstElementChild;
    for (const each of [...fresh.getElementById("lines").children]) {
      if (head?.classList.contains("day") && each.dataset.id === head.dataset.id) continue;
      list.insertBefore(each, head);
    }
    const seen = new Set();
    for (const day of [...list.querySelectorAll(".day")]) {
      if (seen.has(day.dataset.id)) day.remove();
      seen.add(day.dataset.id);
    }
    const more = fresh.getElementById("earlier");
    if (more) link.href = more.href;
    else link.parentElement.remove();
  } catch (error) { toast(error.message || word("failed")); }
});

// -- acting ----------------------------------------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-action]")) return;
  event.preventDefault();
  act(event.target, event.submitter);
});

async function act(form, submitter) {
  const data = new FormData(form, submitter);
  const id = open();
  for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
  const leaves = ["resolved", "snoozed"].includes(data.get("status"));
  const next = leaves ? neighbour(1) ?? neighbour(-1) : null;
  const takesBack = form.matches("[data-takes-back]");
  try {
    if (takesBack) await keepDraft();
    const fresh = await part(form.action + (talk()?.hasAttribute("data-whole") ? "?all=1" : ""), { method: "POST", body: new URLSearchParams(data) });
    if (id === open()) apply(fresh, id, takesBack);
    offer(fresh.getElementById("did"), (ids) => { reread(ids); comeBack(id); });
    if (takesBack && id === open()) writing()?.focus();
    if (leaves && next && matchMedia("(min-width: 48rem)").matches) show(next.href);
    changed.add(id);
    rowTimer ||= setTimeout(freshRows, 50);
  } catch (error) { toast(error.message || word("failed")); }
}

/** Conversations that were changed at once, or back: their rows and the open one. */
function reread(ids) {
  for (const id of ids) changed.add(id);
  if (ids.includes(open())) threadTimer ||= setTimeout(freshThread, 20);
  rowTimer ||= setTimeout(freshRows, 20);
}

/** What was taken back is looked at again, wherever one has gone since. */
function comeBack(id) {
  if (open() !== id || inbox.dataset.pane === "list") show(`/inbox/${id}?${view()}`);
}

// A view keeps what is ticked, also what was not shown yet.
document.addEventListener("submit", (event) => {
  const ticked = event.target.matches("[data-keeps-filter]") && document.querySelector("[data-filter]");
  if (ticked) event.target.elements.query.value = new URLSearchParams(new FormData(ticked));
});

// -- typing ----------------------------------------------------------------------------------------------------------

/** Who is typing in the open conversation → until when it is believed. */
const typists = new Map();

function showTyping() {
  const place = document.getElementById("typing");
  if (!place) return;
  const now = Date.now();
  for (const [name, until] of typists) if (until < now) typists.delete(name);
  const text = [...typists.keys()].map((name) => word("typing").replace("#", name)).join(" ");
  if (place.textContent !== text) place.textContent = text;
  if (typists.size) setTimeout(showTyping, 1000);
}

on("whisper:typing", (data) => {
  if (data.conversation_id !== open()) return;
  const name = data.name || document.querySelector("[data-customer] h2")?.textContent.trim() || "…";
  if (data.on === false) typists.delete(name);
  else typists.set(name, Date.now() + 6000);
  showTyping();
});
on("message.created", (data) => {
  if (data.conversation_id !== open()) return;
  typists.clear();
  showTyping();
});

// -- the keys --------------------------------------------------------------------------------------------------------

/** X: the list is one to choose from, and the open conversation is chosen, or no longer. */
function picking() {
  if (!document.querySelector("[data-selecting]")) return press("[data-testid=select]");
  const box = document.querySelector(`#row-${CSS.escape(open())} .row-pick`);
  box?.click();
}
document.addEventListener("change", (event) => {
  if (!event.target.matches(".row-pick")) return;
  const words = document.querySelector("[data-chosen]");
  const count = document.querySelectorAll(".row-pick:checked").length;
  if (words) words.textContent = words.dataset.chosen.replace("#", count);
});

function neighbour(step) {
  const all = [...rows().querySelectorAll("a[data-open-conversation]")];
  const at = all.findIndex((each) => each.hasAttribute("aria-current"));
  return at < 0 ? all[0] : all[at + step];
}

const press = (selector) => document.querySelector(selector)?.click();
const menu = (name) => {
  const found = document.querySelector(`[data-menu="${name}"]`);
  if (!found) return;
  found.open = true;
  found.querySelector(".item")?.focus();
};
const chooseMode = (value) => { press(`[data-composer] [value=${value}]`); writing()?.focus(); };
const KEYS = {
  j: () => { const to = neighbour(1); if (to) show(to.href); },
  k: () => { const to = neighbour(-1); if (to) show(to.href); },
  r: () => chooseMode("reply"),
  n: () => chooseMode("note"),
  e: () => press('#talk-actions [value="resolved"]'),
  x: () => picking(),
  c: () => press("[data-testid=new-conversation]"),
  v: () => { const found = [...lines().querySelectorAll("[data-react]")].at(-1); if (found) { found.open = true; found.querySelector(".item")?.focus(); } },
  q: () => quote([...lines().querySelectorAll(".line-in")].at(-1)),
  l: () => { menu("more"); document.getElementById("add-label")?.focus(); },
  z: () => (document.querySelector(".toast-undo") ?? document.querySelector("[data-did] button") ?? [...lines().querySelectorAll("[data-takes-back] button")].at(-1))?.click(),
  a: () => { if (document.querySelector('[data-menu="assign"][open]')) press("[data-testid=assign-me]"); else menu("assign"); },
  m: () => menu("macros"),
  s: () => menu("snooze"),
  f: () => { const found = document.querySelector('[data-menu="filter"]'); if (found) { found.open = !found.open; found.querySelector("input:not([type=hidden])")?.focus(); } },
  "/": () => document.querySelector(".queue-search input")?.focus(),
  "?": shortcuts,
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=radio],[type=checkbox]), textarea, select, [contenteditable], dialog");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing || !lettersWork() || event.ctrlKey || event.metaKey || event.altKey || event.repeat && !["j", "k"].includes(event.key)) return;
  const action = KEYS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});

serve({ open, lines, apply, freshThread });
ready();
if (location.hash === "#text") document.getElementById("text")?.focus();
looking(open());
