// What an agent writes: drafts kept on the server, files, quotes, other times, undo; news is not passed over unseen.
import { Refusal, ask, part, toast } from "./ask.js";
import * as calling from "./calling.js";
import * as canned from "./canned.js";
import { close } from "./offer.js";
import { span, word } from "./words.js";

const SAVE_AFTER_MS = 800;
/** A line counts as read when it has stood there for so long: what flashes up while one presses the key does not. */
const READ_AFTER_MS = 1500;
/** A draft of another window is taken over once nobody has written here for so long. */
const IDLE_MS = 10000;
const EMPTY = { text: "", rev: 0, files: [], reply_to: "", quote_author: "", quote_text: "", subject: "", cc: "", canned: [] };
/** A blank of a canned reply that nobody has filled in. */
const BLANK = /\{\{-?\s*(profile|order|agent|conversation)\b[^{}]*\}\}/i;

/** What this module needs of the inbox: the open conversation, its list of lines, and how a thread is shown anew. */
let inbox = null;
export function serve(given) { inbox = given; }

const composer = () => document.querySelector("[data-composer]");
const field = () => document.getElementById("text");
const isNote = () => Boolean(composer()?.querySelector("[value=note]:checked"));
/** `stopped`: what was sent and refused, whose lines stand there unsent; drafts are kept with it. */
const begun = (id, drafts) => ({ id, mode: "reply", drafts, dirty: {}, touchedAt: 0, stopped: { reply: [], note: [] } });
let state = begun("", { reply: EMPTY, note: EMPTY });
let seen = 0;
let uploads = 0;

// -- the composer and its two drafts -----------------------------------------------------------------------------------

/** A composer was drawn: of another conversation, or of the same one anew. */
export function ready() {
  const form = composer();
  if (form) {
    const drafts = JSON.parse(form.dataset.drafts);
    const id = form.dataset.draft;
    if (state.id !== id) {
      state = begun(id, drafts);
      seen = Number(form.elements.seen_seq.value);
    } else for (const mode of ["reply", "note"]) {
      if (!state.dirty[mode] && !state.stopped[mode].length) state.drafts[mode] = drafts[mode];
      for (const job of state.stopped[mode].filter(({ line }) => !line.isConnected)) regain(job);
    }
    if (!drafts.reply.text && !drafts.reply.files.length && drafts.note.text) form.querySelector("[value=note]").checked = true;
    state.mode = isNote() ? "note" : "reply";
    fill();
  }
  noteSeen();
  tick();
}

/** Drafts as the server knows them now; `force`: they follow from what was done here. */
export function adopt(slot, force = false) {
  const fresh = slot?.querySelector?.("[data-composer]");
  if (!fresh || fresh.dataset.draft !== state.id) return;
  const idle = Date.now() - state.touchedAt > IDLE_MS;
  const drafts = JSON.parse(fresh.dataset.drafts);
  const news = ["reply", "note"].filter((mode) => force || (drafts[mode].rev !== state.drafts[mode].rev && idle && !state.dirty[mode] && !state.stopped[mode].length));
  for (const mode of news) {
    state.drafts[mode] = drafts[mode];
    for (const job of state.stopped[mode].splice(0)) job.line.remove(); // it is in the draft
  }
  if (force && drafts.reply.text && state.mode === "note") composer().querySelector("[value=reply]").click();
  if (news.length) fill();
}

function gather() {
  const form = composer();
  if (!form || form.dataset.draft !== state.id) return;
  const draft = state.drafts[state.mode];
  const files = [...form.querySelectorAll("[data-chosen] [name=file]")].map((each) => each.chosen ?? draft.files.find((one) => one.id === each.value));
  const more = state.mode === "note" ? {} : { subject: form.elements.subject?.value ?? "", cc: form.elements.cc?.value ?? "" };
  state.drafts[state.mode] = { ...draft, text: field().value, files: files.filter((each) => each?.id), ...more };
}

function fill() {
  const form = composer();
  const draft = state.drafts[state.mode];
  const text = field();
  if (text.value !== draft.text) text.value = draft.text;
  text.dataset.reply ??= text.placeholder;
  text.placeholder = state.mode === "note" ? text.dataset.notePlaceholder : text.dataset.reply;
  form.querySelector("[data-chosen]").replaceChildren(...draft.files.map(chip));
  form.elements.reply_to.value = draft.reply_to;
  form.querySelector("[data-quoting]").hidden = !draft.reply_to;
  form.querySelector("[data-quote-author]").textContent = draft.quote_author;
  form.querySelector("[data-quote-text]").textContent = draft.quote_text;
  if (form.elements.cc && state.mode === "reply") {
    form.elements.cc.value = draft.cc;
    form.elements.subject.value = draft.subject;
  }
  introduce();
  measure();
}

/** Who of the copy has not read along yet stands below it, while it is written. */
function introduce() {
  const place = composer()?.querySelector("[data-newcomers]");
  if (!place) return;
  const known = new Set(JSON.parse(place.dataset.known));
  const named = (composer().elements.cc.value.toLowerCase().match(/[^\s<>,;，；、"]+@[^\s<>,;，；、"]+\.[^\s<>,;，；、"]+/g) ?? []);
  const fresh = [...new Set(named)].filter((each) => !known.has(each));
  place.hidden = !fresh.length;
  place.querySelector("b").textContent = fresh.join(", ");
}

function measure() {
  const text = field();
  const label = document.querySelector("[data-length]");
  if (!text || !label) return;
  const limit = Number(text.getAttribute("maxlength"));
  const used = text.value.length;
  label.hidden = state.mode === "note" || used < limit * 0.8;
  label.textContent = `${used} / ${limit}`;
  label.classList.toggle("is-over", used >= limit);
}

let timer = 0;
function touched() {
  gather();
  introduce();
  state.dirty[state.mode] = true;
  state.touchedAt = Date.now();
  clearTimeout(timer);
  timer = setTimeout(keepDraft, SAVE_AFTER_MS);
}

/** One save after another, so that an older one never overtakes a newer one, or the answer itself. */
let saving = Promise.resolve();
/** Conversation → its last save. */
const saves = new Map();
function saveNext(kept, mode) {
  kept.dirty[mode] = false;
  saving = saving.then(() => save(kept, mode));
  saves.set(kept.id, saving);
}
export function keepDraft() {
  clearTimeout(timer);
  for (const mode of ["reply", "note"]) if (state.dirty[mode]) saveNext(state, mode);
  return saving;
}
/** Resolves once what was written in this conversation has been saved, or could not be. */
export const saved = (id) => saves.get(id);

async function save(kept, mode) {
  const draft = whole(kept, mode);
  const body = new URLSearchParams({ mode, rev: draft.rev, text: draft.text, reply_to: draft.reply_to, subject: draft.subject, cc: draft.cc });
  for (const file of draft.files) body.append("file", file.id);
  for (const each of draft.canned) body.append("canned", each);
  try {
    const keepalive = draft.text.length < 15000; // also while the page is being left; browsers carry only little then
    const { rev } = await (await ask(`/inbox/${kept.id}/draft`, { method: "POST", body, keepalive })).json();
    kept.drafts[mode].rev = rev;
  } catch (error) {
    if (error instanceof Refusal && error.status === 409) await meet(kept, mode).catch(() => { kept.dirty[mode] = true; });
    else if (error instanceof Refusal && error.status < 500) return; // half an address: it is kept once it is whole
    else {
      kept.dirty[mode] = true;
      if (kept === state) timer = setTimeout(keepDraft, 5000);
    }
  }
}

/** Another window wrote too: both texts stay, ours first. */
async function meet(kept, mode) {
  const theirs = await (await ask(`/api/v1/conversations/${kept.id}/draft?mode=${mode}`)).json();
  if (kept === state && mode === state.mode) gather();
  const ours = kept.drafts[mode];
  ours.rev = theirs.rev;
  if (theirs.text.trim() && !whole(kept, mode).text.includes(theirs.text.trim())) {
    ours.text = ours.text.trim() ? `${ours.text}\n\n${theirs.text}` : theirs.text;
    if (kept === state) { fill(); toast(word("draft_elsewhere")); }
  }
  await save(kept, mode);
}
addEventListener("pagehide", keepDraft);

document.addEventListener("input", (event) => {
  if (!event.target.closest?.("[data-composer]") || event.target.matches("[type=radio], [type=checkbox], [type=file], [name=send_on]")) return;
  measure();
  touched();
  if (event.target === field()) {
    sayTyping();
    if (!canned.look(field(), state.id, putIn)) isNote() ? calling.look(field()) : close();
  }
});
document.addEventListener("change", (event) => {
  if (event.target.name === "mode" && event.target.closest("[data-composer]")) {
    const chosen = isNote() ? "note" : "reply";
    if (chosen === state.mode) return;
    gather();
    state.mode = chosen;
    fill();
    field().focus();
  } else if (event.target.matches?.("[data-files]")) {
    const files = [...event.target.files];
    event.target.value = "";
    bring(files);
  }
});

// -- files -------------------------------------------------------------------------------------------------------------

function chip(file) {
  const item = document.createElement("li");
  item.className = "file";
  const input = Object.assign(document.createElement("input"), { type: "hidden", name: "file", value: file.id ?? "", chosen: file });
  input.disabled = !file.id;
  const name = Object.assign(document.createElement("span"), { className: "clip", textContent: file.name });
  const size = Object.assign(document.createElement("small"), { className: "quiet num", textContent: file.id ? file.size : word("uploading") });
  const drop = Object.assign(document.createElement("button"), { type: "button", className: "button button-plain button-square", textContent: "×" });
  drop.dataset.unchoose = "";
  drop.setAttribute("aria-label", word("leave_out").replace("#", file.name));
  item.append(input, name, " ", size, drop);
  return item;
}

function objection(file) {
  const media = JSON.parse(composer().dataset.media);
  if (file.size > 25_000_000) return word("too_large").replace("#", file.name);
  if (state.mode === "note") return "";
  const kind = ["image", "video", "audio"].find((each) => file.type.startsWith(`${each}/`)) ?? "file";
  const limit = media.find((each) => each.kind === kind) ?? media.find((each) => each.kind === "file");
  if (!limit) return word("no_files");
  const most = Math.max(...media.filter((each) => [kind, "file"].includes(each.kind)).map((each) => each.max_bytes));
  return file.size > most ? word("too_large").replace("#", file.name) : "";
}

async function bring(files) {
  for (const file of files) {
    const why = objection(file);
    if (why) { toast(why); continue; }
    const kept = state;
    const mode = state.mode;
    const item = chip({ name: file.name, size: "" });
    composer().querySelector("[data-chosen]").append(item);
    uploads += 1;
    try {
      const headers = { "X-File-Name": encodeURIComponent(file.name), "Content-Type": file.type || "application/octet-stream" };
      const { id, name } = await (await ask("/api/v1/files", { method: "POST", body: file, headers })).json();
      const chosen = { id, name, size: `${Math.max(1, Math.round(file.size / 1024))} KB` };
      if (kept === state && mode === state.mode) gather();
      kept.drafts[mode] = { ...kept.drafts[mode], files: [...kept.drafts[mode].files, chosen] };
      if (kept !== state) saveNext(kept, mode);
      else if (mode === state.mode) {
        item.replaceWith(chip(chosen));
        touched();
      } else kept.dirty[mode] = true;
    } catch (error) {
      item.remove();
      toast(error.message || word("failed"));
    } finally { uploads -= 1; }
  }
}

document.addEventListener("paste", (event) => {
  if (event.target !== field() || !event.clipboardData?.files.length) return;
  event.preventDefault();
  bring([...event.clipboardData.files]);
});
for (const type of ["dragover", "drop"]) {
  document.addEventListener(type, (event) => {
    if (!composer() || !event.target.closest?.(".talk") || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    composer().classList.toggle("is-over-files", type === "dragover");
    if (type === "drop") bring([...event.dataTransfer.files]);
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) composer()?.classList.remove("is-over-files"); });

// -- quotes and copies -------------------------------------------------------------------------------------------------

export function quote(line) {
  if (!line || !composer()) return;
  const reply = composer().querySelector("[value=reply]");
  if (!reply.checked) reply.click();
  gather();
  const author = line.querySelector(".line-author")?.textContent.trim() || document.querySelector("[data-testid=conversation-title]").textContent.trim();
  const words = line.querySelector(".bubble > .text")?.textContent.trim() || line.querySelector(".bubble")?.textContent.trim() || "";
  const draft = state.drafts.reply;
  state.drafts.reply = { ...draft, reply_to: line.dataset.id, quote_author: author, quote_text: words.slice(0, 140) };
  fill();
  touched();
  field().focus();
}

document.addEventListener("click", (event) => {
  const target = event.target.closest?.("[data-quote], [data-unquote], [data-unchoose], [data-copy-to], [data-emoji], [data-canned]");
  if (!target || !composer()) return;
  event.preventDefault();
  if (target.matches("[data-quote]")) quote(target.closest(".line"));
  else if (target.matches("[data-unquote]")) {
    gather();
    state.drafts.reply = { ...state.drafts.reply, reply_to: "", quote_author: "", quote_text: "" };
    fill();
    touched();
    field().focus();
  } else if (target.matches("[data-unchoose]")) {
    target.closest("li").remove();
    touched();
  } else if (target.matches("[data-copy-to]")) {
    const cc = composer().elements.cc;
    cc.value = [cc.value.trim().replace(/,$/, ""), target.dataset.copyTo].filter(Boolean).join(", ");
    target.hidden = true;
    touched();
  } else if (target.matches("[data-canned]")) {
    const before = field().value.slice(0, field().selectionStart);
    insert(/\S$/.test(before) ? " /" : "/");
    canned.look(field(), state.id, putIn);
  } else import("./emoji.js").then(({ pick }) => pick(target, insert));
});

function insert(text) {
  const place = field();
  place.setRangeText(text, place.selectionStart, place.selectionEnd, "end");
  place.focus();
  touched();
}

/** A canned reply in place of what was typed to find it; its files come along, and its first blank is marked. */
function putIn(made, from, to) {
  field().setRangeText(made.text, from, to, "end");
  gather();
  const draft = state.drafts[state.mode];
  const files = made.files.map(({ id, name, size_bytes }) => ({ id, name, size: `${Math.max(1, Math.round(size_bytes / 1024))} KB` }));
  const fresh = files.filter(({ id }) => !draft.files.some((each) => each.id === id));
  state.drafts[state.mode] = { ...draft, files: [...draft.files, ...fresh], canned: [...new Set([...draft.canned, made.id])].slice(-20) };
  fill();
  touched();
  field().focus();
  markBlank(from);
}

/** Mark the next blank that is left; whether there is one. */
function markBlank(from = 0) {
  const found = BLANK.exec(field().value.slice(from));
  if (!found) return false;
  field().focus();
  field().setSelectionRange(from + found.index, from + found.index + found[0].length);
  toast(word("unfilled"));
  return true;
}

// On a phone a line is answered by drawing it aside.
let swipe = null;
document.addEventListener("touchstart", (event) => {
  const line = event.target.closest?.(".line");
  const [touch] = event.touches;
  swipe = line?.querySelector("[data-quote]") && event.touches.length === 1 ? { line, x: touch.clientX, y: touch.clientY } : null;
}, { passive: true });
document.addEventListener("touchend", (event) => {
  const [touch] = event.changedTouches;
  if (swipe && Math.abs(touch.clientX - swipe.x) > 64 && Math.abs(touch.clientY - swipe.y) < 32) quote(swipe.line);
  swipe = null;
}, { passive: true });

// -- sending -----------------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
  const stopped = event.altKey && !event.target.closest?.("dialog") && document.querySelector("[data-anyway]");
  const form = event.target.closest?.("[data-composer]");
  if (stopped) stopped.click();
  else if (form && !event.target.closest("details.menu")) {
    if (event.shiftKey && !isNote()) form.elements.resolve.checked = true;
    form.requestSubmit(form.querySelector("[data-send]"));
  } else return;
  event.preventDefault();
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-composer]")) return;
  event.preventDefault();
  gather();
  const draft = state.drafts[state.mode];
  if (uploads) return toast(word("uploading"));
  if (state.mode === "reply" && markBlank()) return;
  if (!draft.text.trim() && !draft.files.length) return field().focus();
  send(form, event.submitter);
});

/** The line stands there at once; the server's own takes its place by the client key. A repeat can't double it. */
async function send(form, submitter) {
  const { id, mode } = state;
  const kept = state;
  const draft = state.drafts[mode];
  const data = new FormData(form, submitter);
  data.delete("files");
  data.delete("canned");
  for (const each of draft.canned) data.append("canned", each);
  data.set("mode", mode);
  data.set("seen_seq", seen);
  if (submitter?.name !== "send_later") data.delete("send_on");
  const later = mode === "reply" && (data.get("send_at") || data.get("send_later"));
  for (const menu of form.querySelectorAll("details.menu[open]")) menu.open = false;
  const line = later ? null : optimistic(draft, mode, data.get("client_key"));
  if (line) inbox.lines().append(line);
  clearTimeout(timer);
  state.drafts[mode] = { ...EMPTY, rev: draft.rev };
  state.dirty[mode] = false;
  form.elements.client_key.value = freshKey();
  form.elements.resolve.checked = false;
  if (form.elements.send_on) form.elements.send_on.value = "";
  form.querySelector(".composer-fault")?.remove();
  fill();
  if (mode === "note") form.querySelector("[value=reply]").click();
  await saving;
  await deliver({ url: form.action, data, line, id, draft, mode, kept });
}

async function deliver(job) {
  const { url, data, line, id, mode, kept } = job;
  kept.stopped[mode] = kept.stopped[mode].filter((each) => each !== job);
  line?.classList.remove("is-unsent");
  line?.classList.add("is-sending");
  for (let attempt = 0; ; attempt++) {
    try {
      const fresh = await part(url, { method: "POST", body: new URLSearchParams(data) });
      kept.drafts[mode].rev = 0; // with the answer its draft is gone, and what was begun since is kept anew
      const rest = whole(kept, mode);
      if (rest.text.trim() || rest.files.length) keepNow(kept, mode);
      if (id === inbox.open()) inbox.apply(fresh, id);
      else line?.remove();
      return;
    } catch (error) {
      const passing = !(error instanceof Refusal) || [429, 502, 503, 504].includes(error.status) || error.code === "contended";
      if (passing && attempt < 4) {
        await new Promise((done) => setTimeout(done, 600 * 2 ** attempt));
        continue;
      }
      unsent(job, error);
      return;
    }
  }
}

function optimistic(draft, mode, key) {
  const line = document.createElement("li");
  line.className = `line line-${mode === "note" ? "note" : "out"} line-first is-sending`;
  line.dataset.id = key;
  line.dataset.key = key;
  line.dataset.testid = "message";
  const body = document.createElement("div");
  body.className = "line-body";
  const bubble = document.createElement("div");
  bubble.className = "bubble";
  const text = document.createElement("div");
  text.className = "text";
  text.dir = "auto";
  text.textContent = [draft.text.trim(), ...draft.files.map((each) => each.name)].filter(Boolean).join("\n");
  const foot = document.createElement("div");
  foot.className = "line-foot";
  foot.textContent = `${word("sending")}…`;
  bubble.append(text);
  body.append(bubble, foot);
  line.append(body);
  return line;
}

/** Say why, and offer what can be done: again, all the same, or writing on. */
function unsent(job, error) {
  const why = error.message || word("failed");
  const { line, kept, mode } = job;
  if (!line || (kept === state && !line.isConnected)) {
    back(job);
    return toast(why);
  }
  kept.stopped[mode].push(job);
  keepNow(kept, mode);
  if (kept !== state) return toast(why); // its line is gone with its conversation; the draft has its words
  line.classList.remove("is-sending");
  line.classList.add("is-unsent");
  line.dataset.status = "failed";
  const foot = line.querySelector(".line-foot");
  foot.className = "line-foot line-fault";
  foot.setAttribute("role", "alert");
  const strong = document.createElement("b");
  strong.textContent = `${word("not_sent")} `;
  const asks = ["newer_messages", "ask_first"].includes(error.code);
  const again = act(word(asks ? "send_anyway" : "retry"), asks ? "send-anyway" : "try-again", () => {
    if (asks) job.data.set("send_anyway", "1");
    foot.removeAttribute("role");
    foot.textContent = `${word("sending")}…`;
    saving.then(() => deliver(job));
  });
  if (asks) {
    again.dataset.anyway = "";
    again.title = `${word("send_anyway")} (Ctrl + Alt + Enter)`;
    again.setAttribute("aria-keyshortcuts", "Control+Alt+Enter");
  }
  const edit = act(word("edit"), "edit-unsent", () => { line.remove(); back(job); });
  foot.replaceChildren(strong, why, " ", again, " ", edit);
  if (error.code === "newer_messages") inbox.freshThread();
}

function act(label, name, does) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button button-small", textContent: label });
  button.dataset.testid = name;
  button.addEventListener("click", does);
  return button;
}

/** Two texts as one draft: what was not sent stands before what was begun since. */
function joined(first, since) {
  const quote = first.reply_to ? first : since;
  return {
    text: [first.text, since.text].filter((each) => each.trim()).join("\n\n"), rev: since.rev, files: [...first.files, ...since.files].slice(0, 20),
    reply_to: quote.reply_to, quote_author: quote.quote_author, quote_text: quote.quote_text,
    subject: first.subject || since.subject, cc: first.cc || since.cc, canned: [...new Set([...first.canned, ...since.canned])].slice(-20),
  };
}
/** A draft with all that stands unsent before it, as it is kept. */
const whole = (kept, mode) => kept.stopped[mode].reduceRight((since, job) => joined(job.draft, since), kept.drafts[mode]);
function keepNow(kept, mode) {
  if (kept === state && mode === state.mode) gather();
  saveNext(kept, mode);
}

function regain(job) {
  const { draft, mode, kept } = job;
  kept.stopped[mode] = kept.stopped[mode].filter((each) => each !== job);
  kept.drafts[mode] = joined(draft, kept.drafts[mode]);
  kept.dirty[mode] = true;
}
/** What was not sent stands in its composer again. */
function back(job) {
  const { mode, kept } = job;
  if (kept === state && mode === state.mode) gather();
  regain(job);
  if (kept !== state) return void keepNow(kept, mode);
  if (mode !== state.mode) composer()?.querySelector(`[value=${mode}]`).click();
  fill();
  touched();
  field().focus();
}

const freshKey = () => `web_${crypto.getRandomValues(new Uint32Array(4)).join("")}`;

// -- what was read ----------------------------------------------------------------------------------------------------

/** Lines that stand there now are read a moment later, when somebody looks at the window. */
export function noteSeen() {
  const { id } = state;
  const newest = Math.max(0, ...[...(inbox.lines()?.querySelectorAll("[data-seq]") ?? [])].map((each) => Number(each.dataset.seq)));
  if (newest <= seen) return;
  setTimeout(() => { if (id === state.id && !document.hidden) seen = Math.max(seen, newest); }, READ_AFTER_MS);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) noteSeen(); });

// -- typing ------------------------------------------------------------------------------------------------------------

let saidTyping = 0;
/** Colleagues see that something is being written; of an answer also the customer, where the channel shows it. */
function sayTyping() {
  if (!state.id || !field()?.value.trim() || Date.now() - saidTyping < 3000) return;
  saidTyping = Date.now();
  const body = new URLSearchParams({ mode: state.mode });
  ask(`/inbox/${state.id}/typing`, { method: "POST", body }).catch(() => { /* nobody misses it */ });
}

// -- clocks ------------------------------------------------------------------------------------------------------------

export function tick() {
  const label = document.querySelector("[data-window]");
  if (!label) return;
  const left = (Date.parse(label.dataset.window) - Date.now()) / 1000;
  if (left <= 0) return inbox.freshThread();
  label.classList.toggle("window-soon", left < 7200);
  label.querySelector("span").textContent = word("left").replace("#", span(left, 2));
}
setInterval(tick, 20000);

/** How long an answer can still be taken back; after that the button goes. */
setInterval(() => {
  for (const each of document.querySelectorAll("#lines [data-until]")) {
    const left = Math.ceil((Date.parse(each.dataset.until) - Date.now()) / 1000);
    each.textContent = left > 0 ? word("undo_left").replace("#", left) : word("going_out");
    if (left <= 0) each.parentElement.querySelector(".line-act")?.remove();
  }
}, 500);
