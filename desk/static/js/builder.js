// The journey builder: what is pressed is sent as the form it is, and the parts of the answer are put in place, so that
// the page never loads anew. Settings are kept as they are written; the keyboard walks the flow.
import { Refusal, part, toast } from "./ask.js";
import { on } from "./live.js";

const root = document.querySelector("[data-journey]");
const words = JSON.parse(document.getElementById("builder-words")?.textContent ?? "{}");
const editing = "editing" in root.dataset;
const PARTS = ["head", "notices", "figures", "workbench"];
const TYPING_MS = 500;
let timer = 0;
let running = Promise.resolve();
let dirty = 0;

const query = () => new URL(location.href).searchParams;
const form = () => root.querySelector("[data-settings]");
const cards = () => [...root.querySelectorAll(".step-open")].filter((each) => each.offsetParent);
const card = (id) => cards().find((each) => each.closest("[data-step]")?.dataset.step === id);

/** Requests go out one after the other: the next one sees what the one before has changed. */
function queue(work) {
  running = running.then(work, work).catch((error) => {
    if (error instanceof Refusal && error.message) toast(error.message);
    else if (!(error instanceof Refusal)) throw error;
  });
  return running;
}

async function fetched(url, options = {}) {
  const page = await part(url, options);
  return { fresh: page.querySelector("[data-journey]"), url: page.url };
}

function place({ fresh, url }, { keepPanel = false } = {}) {
  if (!fresh) return location.reload();
  const stage = root.querySelector('[data-part="flow"]');
  const [left, top] = [stage.scrollLeft, stage.scrollTop];
  const panel = root.querySelector('[data-part="panel"]');
  const scrolled = panel?.scrollTop ?? 0;
  const folded = open(panel);
  const at = document.activeElement?.closest?.(".step-open, .plus");
  const mark = at && { step: at.closest("[data-step]")?.dataset.step, slot: at.dataset.slot };
  for (const name of PARTS) {
    const [own, other] = [root, fresh].map((each) => each.querySelector(`[data-part="${name}"]`));
    if (own && !other) own.remove();
    if (!own && other) root.querySelector('[data-part="workbench"]').before(other);
    if (!own || !other || own.innerHTML === other.innerHTML) continue;
    const faults = own.querySelector("details.faults")?.open;
    if (name === "workbench" && keepPanel && panel) {
      own.querySelector('[data-part="flow"]').replaceWith(other.querySelector('[data-part="flow"]'));
      own.className = other.className;
    } else keepPlace(() => { own.innerHTML = other.innerHTML; own.className = other.className; });
    if (faults && own.querySelector("details.faults")) own.querySelector("details.faults").open = true;
  }
  root.dataset.rev = fresh.dataset.rev;
  const again = root.querySelector('[data-part="flow"]');
  again.scrollTo(left, top);
  const beside = root.querySelector('[data-part="panel"]');
  if (beside && panel) {
    for (const each of beside.querySelectorAll("details")) if (folded.has(label(each))) each.open = true;
    beside.scrollTop = scrolled;
  }
  if (mark && !document.activeElement?.matches("input, select, textarea")) {
    (mark.step ? card(mark.step) : root.querySelector(`[data-slot="${CSS.escape(mark.slot ?? "")}"]`))?.focus({ preventScroll: true });
  }
  if (url) history.replaceState(null, "", url);
  document.title = fresh.ownerDocument.title || document.title;
  scripted();
}

const label = (details) => `${details.closest("[data-way]")?.dataset.way ?? ""} ${details.querySelector("summary")?.textContent.trim()}`;
const open = (within) => new Set([...(within?.querySelectorAll("details[open]") ?? [])].map(label));

/** Whoever is writing goes on writing. */
function keepPlace(change) {
  const at = document.activeElement;
  const { name, value, type, id } = at ?? {};
  const ends = ["text", "textarea"].includes(type) ? [at.selectionStart, at.selectionEnd] : null;
  const inside = at?.closest?.("[data-settings]");
  change();
  if (!inside || (!name && !id)) return;
  const own = [...(form()?.elements ?? [])].filter((each) => each.name === name);
  const back = ["checkbox", "radio", "submit"].includes(type) ? own.find((each) => each.value === value) : own[0];
  back?.focus({ preventScroll: true });
  if (ends && back?.setSelectionRange) {
    if (back.value !== value) back.value = value;
    back.setSelectionRange(...ends);
  }
}

/** Show something beside the flow. */
function go(href, focus = true) {
  return queue(async () => {
    await flush();
    place(await fetched(href));
    if (focus) landing();
    root.querySelector(".step-chosen")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}

/** Where the keyboard goes when something opened beside the flow. */
function landing() {
  const beside = root.querySelector('[data-part="panel"]');
  if (!beside) return;
  const wanted = [...beside.querySelectorAll(".kind, [data-settings] input:not([type=hidden]):not([name='f/name']), [data-settings] select, [data-settings] textarea, [data-testid=publish-now]:not([disabled])")];
  (wanted.find((each) => each.offsetParent) ?? beside.querySelector("#panel-title"))?.focus({ preventScroll: true });
}

function post(url, fields) {
  return queue(async () => {
    await flush();
    const body = new URLSearchParams(fields);
    body.set("csrf", document.querySelector("meta[name=csrf]").content);
    place(await fetched(url, { method: "POST", body }));
  });
}

// -- settings ----------------------------------------------------------------------------------------------------

function say(text) {
  const line = root.querySelector("[data-saved]");
  if (line) line.textContent = text;
}

/** Send the settings as if `act` had been pressed; in the background the form itself stays as it is. */
async function send(act, whole, own = form()) {
  clearTimeout(timer);
  timer = 0;
  if (!own?.isConnected) return;
  const mine = dirty;
  const body = new URLSearchParams(new FormData(own));
  body.set("act", act);
  say(words.saving);
  const answer = await fetched(own.action, { method: "POST", body });
  if (!whole && answer.fresh) {
    const seen = answer.fresh.querySelector("[name=seen]")?.value;
    if (seen && own.isConnected) own.querySelector("[name=seen]").value = seen;
    for (const each of own.querySelectorAll("[data-fault]")) {
      const html = answer.fresh.querySelector(`[data-fault="${CSS.escape(each.dataset.fault)}"]`)?.innerHTML ?? "";
      if (each.innerHTML !== html) each.innerHTML = html;
    }
  }
  place({ ...answer, url: whole && act === "save" ? answer.url : null }, { keepPanel: !whole });
  if (mine === dirty) dirty = 0;
  say(answer.fresh?.querySelector(".notice-danger") ? words.unsaved : words.saved);
}

/** What was typed and not yet sent goes first. */
async function flush() {
  if (timer) await send("look", false);
}

root.addEventListener("input", (event) => {
  if (!event.target.closest("[data-settings]")) return;
  dirty += 1;
  say("");
  if (event.target.matches("select, [type=checkbox], [type=radio]")) return;
  clearTimeout(timer);
  timer = setTimeout(() => queue(() => send("look", false)), TYPING_MS);
});
root.addEventListener("change", (event) => {
  const { target } = event;
  if (!target.closest("[data-settings]")) return;
  const list = target.closest("details.checks");
  if (list) {
    const chosen = [...list.querySelectorAll("input:checked")].map((each) => each.dataset.label);
    list.querySelector("summary span").textContent = chosen.join(", ") || "…";
  }
  if (target.matches("select, [type=checkbox], [type=radio]") || "redraws" in target.dataset) {
    queue(() => send("look", "redraws" in target.dataset));
  }
});

root.addEventListener("submit", (event) => {
  const { target, submitter } = event;
  if (target.matches("[data-settings]")) {
    event.preventDefault();
    const act = submitter?.value ?? "save";
    const before = new Set([...target.querySelectorAll("[data-way]")].map((each) => each.dataset.way));
    queue(async () => {
      await send(act, true, target);
      const fresh = [...(form()?.querySelectorAll("[data-way]") ?? [])].filter((each) => !before.has(each.dataset.way));
      if (/^(more|add|where|group)/.test(act)) fresh.at(-1)?.querySelector("select, input:not([type=hidden]), textarea")?.focus();
      else if (act === "save") (form()?.querySelector("[aria-invalid], .fault") ?? form()?.querySelector("[data-testid=save]"))?.focus?.();
    });
    return;
  }
  const url = new URL(target.action).pathname;
  if (!/\/(steps|undo)$/.test(url)) {
    if (!timer) return;
    event.preventDefault();
    const button = submitter?.dataset.testid;
    queue(flush).then(() => root.querySelector(`[data-testid="${button}"]`)?.click());
    return;
  }
  event.preventDefault();
  const fields = new FormData(target, submitter);
  const removing = fields.get("act") === "remove";
  if (removing) vanish(fields.get("step"));
  queue(async () => {
    await flush();
    place(await fetched(url, { method: "POST", body: new URLSearchParams(fields) }));
    if (removing) offerUndo();
    else if (String(fields.get("act")).startsWith("add:")) landing();
  });
});

// -- the flow ----------------------------------------------------------------------------------------------------

/** It is gone at once; the answer draws the rest. */
function vanish(id) {
  for (const each of root.querySelectorAll(`[data-step="${CSS.escape(id)}"]`)) each.classList.add("step-gone");
}

function offerUndo() {
  toast(words.removed, { label: words.undo, act: () => undo() });
}

function undo(again) {
  const here = [...query()].filter(([name]) => ["step", "panel"].includes(name));
  return post(`/journeys/${root.dataset.journey}/undo`, [...here, ...(again ? [["again", "1"]] : [])]);
}

async function remove(id, beside) {
  vanish(id);
  await post(`/journeys/${root.dataset.journey}/steps`, { act: "remove", step: id });
  offerUndo();
  (card(beside) ?? cards()[0])?.focus();
}

document.addEventListener("click", (event) => {
  const away = event.target.closest?.("a[href]:not([data-part-link])");
  if (away && timer && !event.defaultPrevented && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
    event.preventDefault();
    queue(flush).then(() => location.assign(away.href));
    return;
  }
  const link = event.target.closest?.("[data-journey] a[data-part-link]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const closing = "close" in link.dataset;
  const at = query().get("step");
  const faults = link.closest("details.faults");
  if (faults) faults.open = false;
  go(link.href, !closing).then(() => { if (closing) (card(at) ?? cards()[0])?.focus({ preventScroll: true }); });
});

/** The card that stands nearest in a direction. */
function nearest(from, key) {
  const own = from.getBoundingClientRect();
  const [x, y] = [own.left + own.width / 2, own.top + own.height / 2];
  const sideways = key === "ArrowLeft" || key === "ArrowRight";
  const sign = key === "ArrowUp" || key === "ArrowLeft" ? -1 : 1;
  let best = null;
  for (const each of cards()) {
    const box = each.getBoundingClientRect();
    const [dx, dy] = [box.left + box.width / 2 - x, box.top + box.height / 2 - y];
    const [ahead, aside] = sideways ? [dx * sign, Math.abs(dy)] : [dy * sign, Math.abs(dx)];
    if (each === from || ahead < 8) continue;
    const far = ahead + aside * (sideways ? 4 : 1.5);
    if (!best || far < best.far) best = { each, far };
  }
  return best?.each;
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, textarea, select, [contenteditable]");
  if (editing && !typing && (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo(event.shiftKey);
    return;
  }
  if (editing && !typing && (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y") {
    event.preventDefault();
    undo(true);
    return;
  }
  if (event.key === "Escape" && event.target.closest?.('[data-part="panel"]') && !document.querySelector("details.menu[open]")) {
    root.querySelector("[data-close]")?.click();
    return;
  }
  const here = event.target.closest?.(".step-open");
  const inFlow = event.target.matches?.('[data-part="flow"]');
  if ((!here && !inFlow) || event.ctrlKey || event.metaKey) return;
  const id = here?.closest("[data-step]")?.dataset.step;
  if (event.altKey && editing && id && ["ArrowUp", "ArrowDown"].includes(event.key)) {
    event.preventDefault();
    post(`/journeys/${root.dataset.journey}/steps`, { act: event.key === "ArrowUp" ? "up" : "down", step: id }).then(() => card(id)?.focus());
  } else if (event.key.startsWith("Arrow") && !event.altKey) {
    const next = here ? nearest(here, event.key) : cards()[0];
    if (!next) return;
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
  } else if (event.key === "+" && editing && here) {
    event.preventDefault();
    const own = [...root.querySelectorAll("[data-slot]")].filter((each) => each.offsetParent);
    const slot = own.find((each) => (id ? each.dataset.slot.startsWith(`${id}:`) : each.dataset.slot === "start"));
    if (slot) go(slot.href);
  } else if (["Delete", "Backspace"].includes(event.key) && editing && id) {
    event.preventDefault();
    const beside = nearest(here, "ArrowUp")?.closest("[data-step]")?.dataset.step;
    remove(id, beside);
  }
});

// -- live --------------------------------------------------------------------------------------------------------

let looking = 0;
/** Counts follow the stream; a draft that somebody else changed is drawn anew, unless somebody writes here. */
function look() {
  looking = 0;
  if (document.hidden) return;
  queue(async () => {
    const { fresh } = await fetched(location.href);
    if (!fresh) return;
    if (fresh.dataset.rev !== root.dataset.rev && !dirty && !form()) return place({ fresh });
    for (const each of root.querySelectorAll("[data-count-of]")) {
      const other = fresh.querySelector(`[data-count-of="${CSS.escape(each.dataset.countOf)}"]`);
      if (other && other.innerHTML !== each.innerHTML) each.innerHTML = other.innerHTML;
    }
    for (const name of ["figures", "head", "notices"]) {
      const [own, other] = [root, fresh].map((each) => each.querySelector(`[data-part="${name}"]`));
      if (own && other && own.innerHTML !== other.innerHTML && !own.contains(document.activeElement)) own.innerHTML = other.innerHTML;
    }
  });
}
on("*", (_, type) => {
  if (/^(journey|enrolment)\.|^reset$/.test(type)) looking ||= setTimeout(look, 2000);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
addEventListener("beforeunload", (event) => { if (timer) event.preventDefault(); });

function scripted() {
  for (const each of root.querySelectorAll("[data-no-script]")) each.hidden = true;
}
scripted();
