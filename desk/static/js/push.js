// Push to this browser: asked for by a button, registered with the server under this session, and again after a new one.
import { ask } from "./ask.js";

const able = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window && isSecureContext;
const me = document.querySelector("[data-bell]")?.dataset.user ?? "";
const KEPT = "rapport-push";

function bytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (each) => each.charCodeAt(0));
}

async function tell(subscription) {
  const { endpoint, keys } = subscription.toJSON();
  const body = JSON.stringify({ endpoint, p256dh: keys.p256dh, auth: keys.auth });
  await ask("/api/v1/me/push", { method: "POST", body, headers: { "Content-Type": "application/json" } });
  localStorage.setItem(KEPT, me);
  sessionStorage.setItem(KEPT, me);
}

async function subscribe() {
  if (await Notification.requestPermission() !== "granted") return false;
  const worker = await navigator.serviceWorker.register("/sw.js");
  await navigator.serviceWorker.ready;
  const key = bytes((await (await ask("/api/v1/push-key")).json()).public_key);
  const known = await worker.pushManager.getSubscription();
  const same = known && String(new Uint8Array(known.options.applicationServerKey ?? [])) === String(key);
  if (known && !same) await known.unsubscribe();
  await tell(same ? known : await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }));
  return true;
}

/** After a new sign-in the same browser of the same person is told again. */
export async function renew() {
  if (!able || localStorage.getItem(KEPT) !== me || sessionStorage.getItem(KEPT) === me) return;
  const worker = await navigator.serviceWorker.getRegistration("/");
  const known = await worker?.pushManager.getSubscription();
  if (known && Notification.permission === "granted") await tell(known);
}

const place = document.querySelector("[data-push]");
if (place) {
  place.hidden = !able;
  document.querySelector("[data-push-none]").hidden = able;
  const fault = document.querySelector("[data-push-fault]");
  place.querySelector("[data-push-on]").addEventListener("click", async (event) => {
    event.target.disabled = true;
    fault.hidden = true;
    try {
      if (await subscribe()) location.assign("/account?done=pushed#telling");
      else throw new Error(fault.dataset.denied);
    } catch (error) {
      fault.textContent = error.message;
      fault.hidden = false;
    }
    event.target.disabled = false;
  });
  document.querySelector("[data-push-off]")?.closest("form").addEventListener("submit", () => {
    localStorage.removeItem(KEPT);
    navigator.serviceWorker?.getRegistration("/").then((each) => each?.pushManager.getSubscription())
      .then((each) => each?.unsubscribe()).catch(() => {});
  });
}
