// The stage board: cards are dragged, or moved by Alt with an arrow; where a stage asks for a reason a dialog does.
// What others do moves nothing that somebody is at: it is announced in the line of its column until it is asked for.
import { ask, part, toast } from "./ask.js";
import { on } from "./live.js";
import { age } from "./words.js";

const root = document.querySelector("[data-board]");
const board = root.querySelector(".board");
const dialog = document.getElementById("reason-dialog");
const touched = matchMedia("(hover: none)");
const LOOK_MS = 2000;
const REST_MS = 1500;
let dragged = null;
let latest = null;
let looking = 0;
let resting = 0;

const columns = (of) => [...of.querySelectorAll("[data-stage]")];
const cards = (of) => [...of.querySelectorAll("[data-card]")];
const cardIn = (of, id) => of.querySelector(`[data-card="${CSS.escape(id)}"]`);
const columnIn = (of, stage) => of.querySelector(`[data-stage="${CSS.escape(stage)}"]`);

// -- what others do ----------------------------------------------------------------------------------------------------

/** Whether somebody is at the board: then nothing under their hand may move. */
function busy() {
  return Boolean(dragged) || touched.matches || dialog?.open || board.matches(":hover") || board.contains(document.activeElement);
}

async function look() {
  looking = 0;
  if (document.hidden) return;
  try {
    const fresh = (await part(root.dataset.board)).querySelector(".board");
    if (fresh && !board) location.reload();
    else if (fresh) take(fresh);
  } catch {
    looking ||= setTimeout(look, 5000);
  }
}

/** Show the board as it is now, or say that it has changed. */
function take(fresh) {
  latest = fresh;
  const stages = (of) => columns(of).map((each) => each.dataset.stage).join();
  if (stages(fresh) !== stages(board)) {
    if (!busy()) board.innerHTML = fresh.innerHTML;
    return;
  }
  const where = new Map(columns(fresh).flatMap((each) => cards(each).map((card) => [card.dataset.card, each])));
  for (const column of columns(board)) {
    const now = columnIn(fresh, column.dataset.stage);
    count(column.dataset.stage, now);
    if (column.offsetParent && busy()) announce(column, now, where);
    else settle(column, now, where);
  }
}

function count(stage, now) {
  const text = now.querySelector("[data-count-of]")?.textContent ?? "";
  for (const each of root.querySelectorAll(`[data-count-of="${CSS.escape(stage)}"]`)) each.textContent = text;
}

function announce(column, now, where) {
  const arrived = cards(now).filter((card) => !cardIn(column, card.dataset.card)).length;
  let gone = 0;
  for (const card of cards(column)) {
    const place = where.get(card.dataset.card);
    const left = place && place.dataset.stage !== column.dataset.stage;
    if (left) card.dataset.went = board.dataset.went.replace("#", place.getAttribute("aria-label"));
    else delete card.dataset.went;
    gone += left ? 1 : 0;
  }
  const text = arrived ? board.dataset.new.replace("#", arrived) : gone ? board.dataset.changed : "";
  const news = column.querySelector(".board-news");
  if (news.textContent === text) return;
  news.replaceChildren();
  if (!text) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button button-small", textContent: text });
  news.append(button);
}

/** Put the column as it is now. A card that stays is the same element, so that its menu and the focus stay. */
function settle(column, now, where) {
  column.querySelector(".board-news").replaceChildren();
  const list = column.querySelector(".board-cards");
  const focused = column.contains(document.activeElement) ? document.activeElement : null;
  const fresh = cards(now).map((card) => {
    const own = cardIn(column, card.dataset.card);
    if (!own) return document.importNode(card, true);
    delete own.dataset.went;
    if (!own.querySelector("details[open]") && own.innerHTML !== card.innerHTML) own.innerHTML = card.innerHTML;
    return own;
  });
  // Pages further down that were asked for are not read again.
  const further = now.querySelector(".more a") ? cards(column).filter((each) => !where.has(each.dataset.card)) : [];
  const after = [...fresh, ...further];
  const before = cards(column);
  if (after.length !== before.length || after.some((each, i) => each !== before[i])) {
    list.replaceChildren(...after, list.querySelector(".board-none"));
  }
  if (!further.length) {
    column.querySelector(".more")?.remove();
    const more = now.querySelector(".more");
    if (more) column.append(document.importNode(more, true));
  }
  if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
  age();
}

function settleAll() {
  if (latest && !busy()) take(latest);
}
function rest() {
  clearTimeout(resting);
  resting = setTimeout(settleAll, REST_MS);
}

// Whoever writes or orders for the first time is new here; nothing else tells of them.
on("*", (_, type) => {
  if (/^(profile\.|conversation\.created$|order\.|reset$)/.test(type)) looking ||= setTimeout(look, LOOK_MS);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) looking ||= setTimeout(look, 0); });
board?.addEventListener("pointerleave", rest);
board?.addEventListener("focusout", rest);
board?.addEventListener("click", async (event) => {
  const news = event.target.closest(".board-news button");
  if (news && latest) {
    const column = news.closest("[data-stage]");
    const where = new Map(columns(latest).flatMap((each) => cards(each).map((card) => [card.dataset.card, each])));
    settle(column, columnIn(latest, column.dataset.stage), where);
    column.querySelector(".board-cards").scrollTop = 0;
    column.querySelector("[data-card] a")?.focus({ preventScroll: true });
    return;
  }
  const more = event.target.closest(".more a");
  if (!more) return;
  event.preventDefault();
  const column = more.closest("[data-stage]");
  try {
    const next = columnIn(await part(more.href), column.dataset.stage);
    const list = column.querySelector(".board-cards");
    const added = cards(next).filter((each) => !cardIn(column, each.dataset.card)).map((each) => document.importNode(each, true));
    list.querySelector(".board-none").before(...added);
    const further = next.querySelector(".more a[data-further]");
    if (further) more.href = further.getAttribute("href");
    else more.parentElement.remove();
    added[0]?.querySelector("a").focus();
    age();
  } catch (error) {
    toast(error.message);
  }
});

// -- moving ------------------------------------------------------------------------------------------------------------

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
  const next = card.nextElementSibling;
  column.querySelector(".board-cards").prepend(card);
  const body = new URLSearchParams({ stage: column.dataset.stage, back: root.dataset.board, ...why });
  try {
    const answer = await ask(`/profiles/${id}/stage`, { method: "POST", body });
    if (!answer.redirected) throw new Error("a reason is needed");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    root.querySelector("[data-board-notice]").innerHTML = page.querySelector("[data-board-notice]").innerHTML;
    const fresh = page.querySelector(".board");
    const own = cardIn(fresh, id);
    if (own) card.innerHTML = own.innerHTML;
    delete card.dataset.went;
    take(fresh);
    age();
    const follows = column.offsetParent ? card : next?.matches("[data-card]") ? next : cards(home)[0];
    (follows?.querySelector("a") ?? board).focus();
  } catch (error) {
    home.insertBefore(card, next);
    if (error.message) toast(error.message);
  }
}

root.addEventListener("dragstart", (event) => {
  dragged = event.target.closest("[data-card]");
  if (!dragged) return;
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
  for (const each of root.querySelectorAll(".is-over, .is-dragged")) each.classList.remove("is-over", "is-dragged");
  dragged = null;
});

// Arrows go from card to card, with Alt they take the card along.
root.addEventListener("keydown", (event) => {
  const card = event.target.closest?.("[data-card]");
  if (!card || !event.key.startsWith("Arrow") || event.target.matches("select, input")) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.altKey) {
    if (!step || !card.draggable) return;
    event.preventDefault();
    const known = columns(board).filter((each) => !("gone" in each.dataset));
    move(card, known[known.indexOf(card.closest("[data-stage]")) + step]);
    return;
  }
  event.preventDefault();
  const column = card.closest("[data-stage]");
  const own = cards(column);
  const at = own.indexOf(card);
  let goal = own[at + (event.key === "ArrowDown" ? 1 : -1)];
  if (step) {
    const filled = columns(board).filter((each) => each.offsetParent && (each === column || cards(each).length));
    const beside = filled[filled.indexOf(column) + step];
    goal = beside && (cards(beside)[at] ?? cards(beside).at(-1));
  }
  goal?.querySelector("a").focus();
});

// The "move to" forms ask in the dialog too, instead of on a page of their own.
root.addEventListener("submit", (event) => {
  const card = event.target.closest("[data-card]");
  const stage = event.target.elements.stage?.value;
  if (!card || !stage) return;
  event.preventDefault();
  move(card, columnIn(board, stage));
});

// Where there is room for one column, its tab opens it.
root.addEventListener("click", (event) => {
  const tab = event.target.closest("[data-opens]");
  if (!tab) return;
  event.preventDefault();
  for (const each of root.querySelectorAll("[data-opens]")) {
    if (each === tab) each.setAttribute("aria-current", "true");
    else each.removeAttribute("aria-current");
  }
  for (const each of columns(board)) each.classList.toggle("is-open", each.dataset.stage === tab.dataset.opens);
  root.dataset.board = tab.getAttribute("href");
  history.replaceState(null, "", tab.href);
});
