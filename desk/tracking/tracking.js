// What visitors do on a website, told to Rapport: pages, campaigns, forms that ask for it. One file, no dependency.
// Nothing is stored or sent before there is consent; a password or a card number never leaves the page.
(() => {
  "use strict";
  const config = "/*CONFIG*/";
  const script = document.currentScript;
  const home = script && script.src.replace(/\.js(\?.*)?$/, "");
  if (!home || (window.rapport && window.rapport.anonymousId)) return;
  const given = Array.isArray(window.rapport) ? window.rapport : [];
  const [ID, QUEUE, CONSENT, USER] = ["id", "queue", "consent", "user"].map((each) => `rapport.${each}`);
  const [KEPT_MAX, BATCH_MAX, BYTES_MAX] = [100, 40, 60000];
  const signals = config.signals && (navigator.doNotTrack === "1" || navigator.globalPrivacyControl === true);

  // -- storage: the visitor's own browser, first party ------------------------------------------------------------------

  let memory = {};
  function read(name) {
    try { const text = localStorage.getItem(name); return text === null ? memory[name] : JSON.parse(text); } catch { return memory[name]; }
  }
  function write(name, value) {
    memory[name] = value;
    try { if (value === undefined) localStorage.removeItem(name); else localStorage.setItem(name, JSON.stringify(value)); } catch { /* closed: as long as this page lives */ }
  }
  const cookie = (value, age) => { document.cookie = `${ID}=${value}; Max-Age=${age}; Path=/; SameSite=Lax${location.protocol === "https:" ? "; Secure" : ""}`; };
  const random = () => [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");

  let consented = read(CONSENT) ?? (config.consent || signals ? undefined : true);
  let waiting = [];
  function anonymousId() {
    if (!consented) return null;
    let id = config.storage === "cookie" ? (document.cookie.match(/(?:^|; )rapport\.id=([0-9a-f]{32})/) || [])[1] : read(ID);
    if (!id) id = random();
    if (config.storage === "cookie") cookie(id, 31536000); else write(ID, id);
    return id;
  }

  // -- what is told -----------------------------------------------------------------------------------------------------

  const plain = (address) => { try { const url = new URL(address); return url.origin + url.pathname; } catch { return undefined; } };
  function context() {
    const query = new URLSearchParams(location.search);
    const campaign = {};
    for (const name of ["source", "medium", "campaign", "term", "content"]) {
      const value = query.get(`utm_${name}`);
      if (value) campaign[name === "campaign" ? "name" : name] = value.slice(0, 200);
    }
    const referrer = plain(document.referrer);
    return {
      page: { url: plain(location.href), path: location.pathname, title: document.title.slice(0, 200), referrer },
      locale: navigator.language, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone, ...(Object.keys(campaign).length && { campaign }),
    };
  }
  function tell(type, fields) {
    const call = { type, messageId: random(), timestamp: new Date().toISOString(), context: context(), ...fields };
    if (consented === false) return;
    if (!consented) { waiting = [...waiting, call].slice(-20); return; }
    const user = read(USER);
    call.anonymousId = anonymousId();
    if (user) { call.userId = user.id; Object.assign(call.context, { hash: user.hash, email_hash: user.email_hash }); }
    write(QUEUE, [...(read(QUEUE) || []), call].slice(-KEPT_MAX));
    soon(400);
  }

  // -- the way out: what is queued is there until the server has it -----------------------------------------------------

  let timer = 0, failures = 0, sending = false;
  function soon(wait) { timer ||= setTimeout(flush, wait); }
  function batch() {
    let [calls, size] = [[], 0];
    for (const each of read(QUEUE) || []) {
      size += JSON.stringify(each).length;
      if (calls.length && (calls.length === BATCH_MAX || size > BYTES_MAX)) break;
      calls.push(each);
    }
    return calls;
  }
  const packed = (calls) => JSON.stringify({ batch: calls, sentAt: new Date().toISOString() });
  async function flush() {
    timer = 0;
    const calls = batch();
    if (sending || !calls.length || !consented) return;
    sending = true;
    let done = false;
    try {
      const answer = await fetch(home, { method: "POST", keepalive: true, credentials: "omit", headers: { "Content-Type": "text/plain" }, body: packed(calls) });
      done = answer.ok || (answer.status < 500 && answer.status !== 429 && answer.status !== 408);
      const told = await answer.json().catch(() => ({}));
      if (told.code || told.refused) console.warn("Rapport:", told.detail ?? told.refused);
    } catch { /* no network: later */ }
    sending = false;
    failures = done ? 0 : failures + 1;
    if (done) {
      const gone = new Set(calls.map((each) => each.messageId));
      const left = (read(QUEUE) || []).filter((each) => !gone.has(each.messageId));
      write(QUEUE, left.length ? left : undefined);
    }
    if ((read(QUEUE) || []).length) soon(done ? 50 : Math.min(60000, 1000 * 2 ** failures));
  }
  // Sent once more from the next page: the server knows each call by its messageId.
  addEventListener("pagehide", () => {
    const calls = batch();
    if (consented && calls.length && navigator.sendBeacon) navigator.sendBeacon(home, packed(calls));
  });
  addEventListener("online", () => { failures = 0; flush(); });

  // -- pages and forms --------------------------------------------------------------------------------------------------

  let here = "";
  function page(name, properties) {
    here = location.href.split("#")[0];
    const { url, path, title, referrer } = context().page;
    tell("page", { name: name || title, properties: { url, path, title, referrer, ...properties } });
  }
  function moved() { setTimeout(() => { if (location.href.split("#")[0] !== here) page(); }, 0); }
  for (const name of ["pushState", "replaceState"]) {
    const original = history[name];
    history[name] = function (...rest) { const result = original.apply(this, rest); moved(); return result; };
  }
  addEventListener("popstate", moved);

  const SECRET = /pass|pwd|card|cvc|cvv|iban|ssn|secret|token|otp|pin$/i;
  const luhn = (text) => {
    const digits = text.replace(/[ -]/g, "");
    if (!/^\d{13,19}$/.test(digits)) return false;
    return [...digits].reverse().reduce((sum, each, n) => { const d = each * (n % 2 ? 2 : 1); return sum + (d > 9 ? d - 9 : d); }, 0) % 10 === 0;
  };
  function secret(field) {
    return ["password", "hidden", "file", "submit", "button", "image", "reset"].includes(field.type) || field.closest("[data-rapport-skip]")
      || /^cc-|password|one-time/.test(field.autocomplete || "") || SECRET.test(field.name) || SECRET.test(field.id) || luhn(String(field.value));
  }
  // Only forms that ask for it: <form data-rapport="Newsletter">. Nothing is read before it is sent off.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const name = form.dataset && form.dataset.rapport;
    if (name === undefined) return;
    const [fields, traits] = [{}, {}];
    for (const field of form.elements) {
      if (!field.name || field.disabled || secret(field) || ((field.type === "checkbox" || field.type === "radio") && !field.checked)) continue;
      const value = String(field.value).slice(0, 500);
      const kind = field.type === "email" || field.autocomplete === "email" ? "email" : field.type === "tel" || field.autocomplete === "tel" ? "phone" : field.autocomplete === "name" ? "name" : "";
      if (kind && value) traits[kind] = value; else if (value) fields[field.name] = value;
    }
    if (Object.keys(traits).length) tell("identify", { traits });
    tell("track", { event: "form.submitted", properties: { form: name || form.id || "form", ...fields } });
    flush();
  }, true);

  // -- for the page -----------------------------------------------------------------------------------------------------

  const rapport = {
    anonymousId, page,
    track(event, properties) { tell("track", { event, properties }); },
    /** Who is signed in. Without the hash your server made of the id it is not believed. */
    identify(user, traits, proof = {}) {
      if (user !== null && typeof user === "object") { [traits, user] = [user, undefined]; }
      const known = read(USER);
      if (user !== undefined && known && known.id !== String(user)) rapport.reset();
      if (user !== undefined && user !== null && consented) {
        write(USER, { id: String(user), hash: proof.hash, email_hash: proof.email_hash });
        window.Rapport?.identify?.({ user_id: user, ...traits, ...proof });
      } else if (user !== undefined && user !== null && !consented) {
        given.push(["identify", user, traits, proof]);
        return;
      }
      tell("identify", { traits: traits || {} });
    },
    /** true: from now on, also what waited; false: nothing any more, and nothing is left in the browser. */
    consent(yes) {
      consented = Boolean(yes);
      if (!yes) { waiting = []; for (const each of [ID, QUEUE, USER]) write(each); if (config.storage === "cookie") cookie("", 0); }
      write(CONSENT, consented);
      if (!yes) return;
      const calls = waiting;
      waiting = [];
      for (const { type, ...fields } of calls) tell(type, fields);
      for (const [name, ...rest] of given.splice(0)) rapport[name]?.(...rest);
    },
    /** Somebody signed out: the next one in this browser is somebody else. */
    reset() {
      for (const each of [ID, USER]) write(each);
      if (config.storage === "cookie") cookie("", 0);
      window.Rapport?.reset?.();
    },
    push(call) { rapport[call[0]]?.(...call.slice(1)); },
  };
  window.rapport = rapport;
  const asked = given.splice(0);
  for (const [name, ...rest] of asked) rapport[name]?.(...rest);
  const claim = window.RapportSettings?.identity;
  if (claim?.user_id != null && claim.hash) {
    const { user_id, hash, email_hash, ...traits } = claim;
    rapport.identify(user_id, traits, { hash, email_hash });
  }
  if (!asked.some((each) => each[0] === "page")) page();
  soon(1000);
})();
