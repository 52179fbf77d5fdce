// The bell: how much is new, and the newest of it behind it. Where a conversation stands open, its news are seen.
import { ask, part } from "./ask.js";
import { on } from "./live.js";
import { age } from "./words.js";

const menu = document.querySelector("[data-bell]");
const badge = menu?.querySelector("[data-bell-count]");
const list = menu?.querySelector("[data-bell-list]");
let timer = 0;

function show(unread) {
  badge.hidden = !unread;
  badge.firstElementChild.textContent = unread > 99 ? "99+" : unread;
  navigator.setAppBadge?.(unread).catch(() => {});
}

async function count() {
  timer = 0;
  try {
    show((await (await ask("/notifications/count")).json()).unread);
    if (menu.open) await fill();
  } catch { /* the next notice tries again */ }
}

async function fill() {
  const inside = list.contains(document.activeElement);
  list.replaceChildren(await part("/notifications/menu"));
  if (inside) list.querySelector("button")?.focus();
  age();
}

async function seen(conversation) {
  const answer = await ask("/notifications/seen", { method: "POST", body: new URLSearchParams({ conversation }) });
  show((await answer.json()).unread);
}

if (menu) {
  menu.addEventListener("toggle", () => { if (menu.open) fill().catch(() => {}); });
  on("*", (data, type) => {
    if (!type.startsWith("notification.") && type !== "reset") return;
    const talk = document.querySelector("[data-conversation]");
    const here = talk && data.conversation_id && (talk.dataset.threads ?? "").split(" ").includes(data.conversation_id);
    if (here && !document.hidden) seen(talk.dataset.conversation).catch(() => {});
    else timer ||= setTimeout(count, 600);
  });
}

// Who has switched push on here is told here again after signing in anew.
if (menu && localStorage.getItem("rapport-push") === menu.dataset.user) {
  import("./push.js").then(({ renew }) => renew()).catch(() => {});
}
