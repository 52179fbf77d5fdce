// Who else has a conversation open: said while it is shown, heard from colleagues, marked above the composer and in rows.
import { ask } from "./ask.js";
import { on } from "./live.js";
import { word } from "./words.js";

const SAY_EVERY_MS = 15000;
const BELIEVED_MS = 40000;
const mine = `w${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
/** Conversation → colleague → {name, until}. */
const viewers = new Map();
let shown = "";

/** This window shows this conversation now; "" none. */
export function looking(id) {
  if (shown && shown !== id) say(shown, true);
  shown = id;
  if (shown && !document.hidden) say(shown, false);
  draw();
}

async function say(id, gone) {
  const body = new URLSearchParams({ window: mine, ...(gone ? { gone: "1" } : {}) });
  try {
    const answer = await ask(`/inbox/${id}/look`, { method: "POST", body, keepalive: true });
    if (!gone) note(id, (await answer.json()).viewers);
  } catch { /* nobody misses it */ }
}

setInterval(() => { if (shown && !document.hidden) say(shown, false); }, SAY_EVERY_MS);
setInterval(draw, 5000);
document.addEventListener("visibilitychange", () => { if (shown) say(shown, document.hidden); });
addEventListener("pagehide", () => { if (shown) say(shown, true); });

on("whisper:viewing", ({ conversation_id: id, user_id: who, name, on: here }) => {
  if (!viewers.has(id)) viewers.set(id, new Map());
  if (here) viewers.get(id).set(who, { name, until: Date.now() + BELIEVED_MS });
  else viewers.get(id).delete(who);
  draw();
});
on("reset", readAll);

function note(id, people) {
  const until = Date.now() + BELIEVED_MS;
  viewers.set(id, new Map(people.map(({ id: who, name }) => [who, { name, until }])));
  draw();
}

async function readAll() {
  const ids = [...document.querySelectorAll("#rows > [data-id]")].slice(0, 100).map((each) => each.dataset.id);
  if (!ids.length) return;
  try {
    const found = await (await ask(`/inbox/viewers?ids=${ids.join(",")}`)).json();
    for (const [id, people] of Object.entries(found)) note(id, people);
  } catch { /* whispers will tell */ }
}
readAll();

function names(id) {
  const people = viewers.get(id) ?? new Map();
  for (const [who, { until }] of people) if (until < Date.now()) people.delete(who);
  return [...people.values()].map(({ name }) => name);
}

function draw() {
  const place = document.getElementById("viewers");
  if (place) {
    const found = names(shown);
    const text = found.length ? word(found.length > 1 ? "viewing_many" : "viewing").replace("#", found.join(", ")) : "";
    if (place.textContent !== text) place.textContent = text;
    place.hidden = !text;
  }
  for (const id of viewers.keys()) {
    const row = document.getElementById(`row-${id}`);
    const found = names(id);
    let marks = row?.querySelector(".lookers");
    if (!row || (!found.length && !marks)) continue;
    if (!found.length) { marks.remove(); continue; }
    if (!marks) {
      marks = Object.assign(document.createElement("span"), { className: "lookers" });
      marks.dataset.testid = "lookers";
      row.querySelector(".row-foot").append(marks);
    }
    const title = word(found.length > 1 ? "viewing_many" : "viewing").replace("#", found.join(", "));
    if (marks.title === title) continue;
    marks.title = title;
    marks.replaceChildren(...found.map((name) => Object.assign(document.createElement("span"), { className: "row-owner", textContent: name.trim()[0] ?? "·" })));
  }
}
