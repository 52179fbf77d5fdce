// The one event stream of the page. Resumes by event id; after a reset whoever listens reads anew.
import { word } from "./words.js";

const listeners = new Map();
const shell = document.querySelector("[data-stream]");
const url = shell?.dataset.stream;
const banner = document.querySelector("[data-offline]");
let source = null;
// Where the stream stood before the page read its data: nothing falls between the two.
let last = shell?.dataset.position ?? "";
let lostAt = 0;
let wait = 500;

/** Call `listener(data, type)` for every notice of the type; "*" hears all, "reset" means: read everything anew. */
export function on(type, listener) {
  if (!listeners.has(type)) listeners.set(type, new Set());
  listeners.get(type).add(listener);
}

function tell(type, data) {
  for (const name of [type, "*"]) for (const each of listeners.get(name) ?? []) each(data, type);
}

function show(lost) {
  if (!banner) return;
  banner.hidden = !lost;
  banner.firstElementChild.textContent = lost ? word("offline") : "";
}

function connect() {
  source = new EventSource(last ? `${url}?after=${encodeURIComponent(last)}` : url);
  source.addEventListener("notice", (event) => {
    last = event.lastEventId || last;
    const notice = JSON.parse(event.data);
    tell(notice.type, notice.data);
  });
  source.addEventListener("whisper", (event) => {
    const { type, ...data } = JSON.parse(event.data);
    for (const each of listeners.get(`whisper:${type}`) ?? []) each(data, type);
  });
  source.addEventListener("hello", (event) => {
    last = event.lastEventId || last;
    wait = 500;
    lostAt = 0;
    show(false);
    document.documentElement.dataset.live = "yes";
  });
  source.addEventListener("reset", (event) => {
    last = event.lastEventId || last;
    tell("reset", {});
  });
  source.onerror = () => {
    source.close();
    delete document.documentElement.dataset.live;
    lostAt ||= Date.now();
    if (Date.now() - lostAt > 4000) show(true);
    wait = Math.min(wait * 2, 15000);
    setTimeout(connect, wait * (0.6 + Math.random() * 0.4));
  };
}

if (url && "EventSource" in window) {
  connect();
  addEventListener("online", () => { wait = 500; });
  addEventListener("offline", () => { show(true); });
  addEventListener("online", () => { if (document.documentElement.dataset.live) show(false); });
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) connect(); });
}
