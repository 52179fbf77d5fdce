// The chat of a shop, on the shop's own page. One file, no dependency; its style stands in a shadow tree.
// Protocol: desk/widget/protocol.md. What a visitor writes is kept in the browser until the server has it.
(() => {
  "use strict";
  const script = document.currentScript;
  const address = script && script.src.match(/^(.*)\/widget\/(chn_[0-9a-z]{26})\.js/);
  if (!address || window.Rapport?.channel === address[2]) return;
  const channel = address[2];
  const base = `${address[1]}/widget/${channel}`;
  const given = window.RapportSettings || {};
  const STYLE = "/*STYLE*/";
  const WORDS = {
    en: {
      open: "Open chat", close: "Close chat", chat: "Chat", messages: "Messages", write: "Write a message…", send: "Send message",
      attach: "Attach a file", hello: "Hello! How can we help?", sending: "Sending…", sent: "Sent", seen: "Seen", waiting: "Waiting for the connection…",
      offline: "No connection. What you write is sent as soon as it is back.", typing: "# is typing…", someone: "Somebody", earlier: "Earlier messages",
      today: "Today", yesterday: "Yesterday", gone: "This message was removed.", reacted: "Answered with #", name: "Name", email: "E-mail address", optional: "optional",
      begin: "Start the chat", before: "Before we begin, please tell us who you are.", mail: "Leave your e-mail address, so that our answer reaches you when you have left.",
      mailLost: "Leave your e-mail address, so that we know how to reach you.", save: "Save", no: "No, thanks", thanks: "Thank you, we answer to #.", nameFault: "Please enter your name.",
      mailFault: "This does not look like an e-mail address.", large: "The file is larger than # MB.", kind: "Files of this kind are not taken.",
      failed: "Not sent.", again: "Try again", coming: "on its way", missing: "could not be kept", news: "New message from #", you: "You", byMail: "by e-mail",
      soundOn: "Turn sound on", soundOff: "Turn sound off", unread: "# unread", long: "This message is too long.", react: "React to this message", reactWith: "React with #",
      takeBack: "Your reaction: #. Take it back",
    },
    zh: {
      open: "打开聊天", close: "关闭聊天", chat: "在线客服", messages: "消息", write: "输入消息…", send: "发送消息",
      attach: "添加文件", hello: "您好！请问有什么可以帮您？", sending: "发送中…", sent: "已发送", seen: "已读", waiting: "等待网络连接…",
      offline: "网络已断开，恢复后会自动发送您的消息。", typing: "#正在输入…", someone: "对方", earlier: "更早的消息",
      today: "今天", yesterday: "昨天", gone: "此消息已删除。", reacted: "回应：#", name: "姓名", email: "邮箱地址", optional: "选填",
      begin: "开始聊天", before: "开始之前，请告诉我们您是谁。", mail: "请留下邮箱地址，您离开后我们的回复会发送到您的邮箱。",
      mailLost: "请留下邮箱地址，方便我们与您联系。", save: "保存", no: "不用了", thanks: "谢谢，我们会回复到 #。", nameFault: "请输入您的姓名。",
      mailFault: "邮箱地址格式不正确。", large: "文件不能超过 # MB。", kind: "不支持此类文件。",
      failed: "未发送。", again: "重试", coming: "正在上传", missing: "文件未能保存", news: "#发来新消息", you: "您", byMail: "通过邮件",
      soundOn: "开启提示音", soundOff: "关闭提示音", unread: "#条未读", long: "消息太长了。", react: "回应这条消息", reactWith: "用 # 回应",
      takeBack: "您的回应：#。点按可撤回",
    },
  };
  const ICONS = {
    chat: '<path d="M21 11.5a8.4 8.4 0 0 1-8.5 8.3 8.7 8.7 0 0 1-3.9-.9L3.5 20.5l1.5-4.6a8.1 8.1 0 0 1-1-4A8.4 8.4 0 0 1 12.5 3.5 8.4 8.4 0 0 1 21 11.5Z"/>',
    close: '<path d="m6 6 12 12M18 6 6 18"/>',
    down: '<path d="m5 9 7 7 7-7"/>',
    clip: '<path d="m20 11.5-8.200 8.200a5.3 5.3 0 0 1-7.5-7.5l8.5-8.5a3.5 3.5 0 0 1 5 5l-8.400 8.400a1.8 1.8 0 0 1-2.5-2.5l7.600-7.600"/>',
    send: '<path d="M4 12 3.5 4.5 21 12 3.5 19.5 4 12Zm0 0h8"/>',
    file: '<path d="M14 3H7a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V8l-5-5Zm0 0v5h5"/>',
    bell: '<path d="M6 16V11a6 6 0 1 1 12 0v5l1.5 2h-15L6 16Zm4 4.5h4"/>',
    smile: '<path d="M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17ZM8.500 14.500a4.200 4.200 0 0 0 7 0M9 9.800v.01M15 9.800v.01"/>',
    mute: '<path d="M8 6.5A6 6 0 0 1 18 11v4M6 11v5l-1.500 2H16m-6 2.500h4M4 3l17 18"/>',
  };

  // -- small things ---------------------------------------------------------------------------------------------------

  const wanted = (script.dataset.lang || "").toLowerCase();
  let words = WORDS.en;
  const say = (name, value) => (value === undefined ? words[name] : words[name].replace("#", value));
  const now = () => Date.now();
  const newKey = (what = "w") => `${what}-${[...crypto.getRandomValues(new Uint8Array(12))].map((each) => each.toString(36).padStart(2, "0")).join("")}`;

  /** An element: `el("p.name", {hidden: true}, child, "text")`. Text is always text. */
  function el(what, about = {}, ...children) {
    const [tag, ...classes] = what.split(".");
    const made = document.createElement(tag);
    if (classes.length) made.className = classes.join(" ");
    for (const [name, value] of Object.entries(about)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value != null) made.setAttribute(name, value);
    }
    made.append(...children.filter((each) => each != null && each !== ""));
    return made;
  }
  function icon(name, size = 22) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true" })) svg.setAttribute(key, value);
    const paths = new DOMParser().parseFromString(`<svg xmlns="http://www.w3.org/2000/svg">${ICONS[name]}</svg>`, "image/svg+xml");
    svg.append(...[...paths.documentElement.childNodes].map((each) => document.importNode(each, true)));
    return svg;
  }

  // -- what the browser keeps -----------------------------------------------------------------------------------------

  let memory = {};
  const place = () => `rapport:${channel}${identity?.user_id != null ? `:${identity.user_id}` : ""}`;
  const common = `rapport:${channel}`;
  function kept(where = place()) {
    try { return JSON.parse(localStorage.getItem(where)) || {}; } catch { return memory[where] || {}; }
  }
  function keep(change, where = place()) {
    const whole = { ...kept(where), ...change };
    memory[where] = whole;
    try { localStorage.setItem(where, JSON.stringify(whole)); } catch { /* storage is closed: as long as this page lives */ }
  }
  const queue = () => kept().queue || [];
  /** What the visitor wishes to stand on a line of ours waits in the same queue, the last of each line alone. */
  const wished = (id) => queue().find((each) => each.react === id);
  const dequeue = (key) => keep({ queue: queue().filter((each) => each.key !== key) });

  // -- state ----------------------------------------------------------------------------------------------------------

  let identity = usable(given.identity);
  let looks = null;
  let opened = false;
  let hidden = false;
  let token = "";
  let known = false;
  let more = null;
  let seenByShop = false;
  let welcomed = false;
  const lines = new Map();
  /** Files on their way: key → {name, file, state}. Bytes do not survive a reload. */
  const uploads = new Map();
  const flying = new Map();
  const acknowledged = new Set();
  const read = new Set();
  const listeners = new Map();
  let typist = null;
  let typistUntil = 0;
  let lastAnnounced = "";

  function usable(claim) {
    return claim && claim.user_id != null && claim.user_id !== "" ? claim : null;
  }
  function tell(name, detail) {
    for (const each of listeners.get(name) || []) {
      try { each(detail); } catch (error) { console.error(error); }
    }
  }

  // -- the connection -------------------------------------------------------------------------------------------------

  let socket = null;
  let failures = 0;
  let timer = 0;
  let pinged = 0;
  let polling = false;
  let connectedOnce = false;
  let identifying = [];

  const wants = () => opened || connectedOnce || kept().talked || queue().length > 0 || identifying.length > 0 || Boolean(identity);
  function connect(soon = 0) {
    clearTimeout(timer);
    if (!looks || !wants() || socket) return;
    timer = setTimeout(dial, soon);
  }

  function dial() {
    if (socket) return;
    if (navigator.onLine === false) return state();
    if (failures >= 3 && failures % 5) return poll();
    const mine = new WebSocket(`${base.replace(/^http/, "ws")}/socket`);
    socket = mine;
    const slow = setTimeout(() => mine.close(), 12000);
    mine.onopen = () => mine.send(JSON.stringify(hello()));
    mine.onmessage = (event) => {
      clearTimeout(slow);
      if (mine !== socket) return;
      pinged = 0;
      hear(JSON.parse(event.data));
    };
    mine.onclose = () => {
      clearTimeout(slow);
      if (mine === socket) lost();
    };
  }
  function lost() {
    socket = null;
    pinged = 0;
    welcomed = false;
    failures += 1;
    flying.clear();
    state();
    connect(Math.min(15000, 400 * 2 ** Math.min(failures, 6)) * (0.6 + Math.random() * 0.4));
  }
  function hangUp() {
    clearTimeout(timer);
    const old = socket;
    socket = null;
    welcomed = false;
    flying.clear();
    if (old) { old.onclose = null; old.close(); }
  }
  function redial() {
    hangUp();
    failures = 0;
    connect();
  }

  /** The same frames by HTTP, where no socket gets through: hello each time, then what has gathered. */
  const gathered = [];
  async function poll() {
    if (polling) return;
    polling = true;
    clearTimeout(timer);
    const notes = gathered.splice(0, 4);
    try {
      const body = JSON.stringify({ frames: [hello(), ...queue().slice(0, 14).map(asFrame), ...notes] });
      const answer = await fetch(`${base}/frames`, { method: "POST", body });
      if (!answer.ok) throw new Error(answer.status);
      for (const frame of (await answer.json()).frames) hear(frame);
    } catch {
      gathered.unshift(...notes);
      welcomed = false;
    } finally {
      polling = false;
      failures += 1;
      state();
      clearTimeout(timer);
      timer = setTimeout(dial, welcomed && gathered.length ? 300 : document.hidden ? 20000 : 4000);
    }
  }
  function send(frame) {
    if (socket?.readyState === 1 && (welcomed || frame.t === "hello" || frame.t === "ping")) {
      socket.send(JSON.stringify(frame));
      return true;
    }
    if (socket || !welcomed || frame.t === "typing" || frame.t === "ping") return false;
    gathered.push(frame);
    poll();
    return true;
  }

  const about = () => ({ page: { url: location.href.slice(0, 1000), title: document.title.slice(0, 200) }, me: kept().me });
  function hello() {
    const last = [...lines.values()].reduce((at, each) => (each.at > at ? each.at : at), "");
    return { t: "hello", token: kept(common).token, after: last || undefined, identity: identity || undefined, anonymous: window.rapport?.anonymousId?.() || undefined, lang: words === WORDS.zh ? "zh-CN" : "en", ...about() };
  }

  setInterval(() => {
    if (socket?.readyState !== 1) return;
    if (pinged && now() - pinged > 10000) { socket.onclose = null; socket.close(); lost(); return; }
    if (!pinged) { pinged = now(); send({ t: "ping" }); }
  }, 20000);
  addEventListener("online", () => { failures = 0; if (socket) redial(); else connect(); state(); });
  addEventListener("offline", () => { hangUp(); state(); });
  addEventListener("pageshow", (event) => { if (event.persisted) redial(); });
  addEventListener("storage", (event) => {
    if (event.key !== place()) return;
    drawLines();
    flush();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    failures = Math.min(failures, 1);
    if (socket) seen(); else connect();
  });

  // -- what comes -----------------------------------------------------------------------------------------------------

  const HEARD = {
    welcome(frame) {
      if (!socket && !polling) return;
      welcomed = connectedOnce = true;
      if (socket) failures = 0;
      token = frame.token;
      known = frame.identified;
      if (!known) keep({ token }, common);
      if (!frame.gapless) lines.clear();
      if (!lines.size || !frame.gapless) more = frame.more;
      seenByShop = frame.seen;
      for (const done of identifying) done(known);
      if (identifying.length || identity) tell("identified", known);
      identifying = [];
      if (identity && !known) console.warn("Rapport: the hash does not fit this user_id. The visitor stays anonymous.");
      take(frame.lines, true);
      flush();
    },
    lines(frame) { take(frame.lines, false); },
    earlier(frame) {
      more = frame.more;
      const before = parts.scroll.scrollHeight;
      take(frame.lines, true, true);
      parts.scroll.scrollTop += parts.scroll.scrollHeight - before;
    },
    ack(frame) {
      flying.delete(frame.key);
      if (frame.key.startsWith("r-")) return settle(frame.key);
      acknowledged.add(frame.key);
      const entry = queue().find((each) => each.key === frame.key);
      if (entry) local.set(frame.key, { ...entry, at: entry.at || new Date().toISOString() });
      dequeue(frame.key);
      keep({ talked: true });
      seenByShop = false;
      tell("sent", { key: frame.key });
      drawLines();
      flush();
    },
    refused(frame) {
      if (frame.of === "react") {
        flying.delete(frame.key);
        if (frame.retry_after_s) return void setTimeout(flush, frame.retry_after_s * 1000);
        dequeue(frame.key);
        return drawLines();
      }
      if (frame.of === "say") {
        flying.delete(frame.key);
        if (frame.retry_after_s) return void setTimeout(flush, frame.retry_after_s * 1000);
        const entry = queue().find((each) => each.key === frame.key);
        dequeue(frame.key);
        if (entry) local.set(frame.key, { ...entry, fault: frame.code === "long" ? "long" : "failed" });
        return drawLines();
      }
      if (frame.of === "hello") { hangUp(); connect((frame.retry_after_s || 10) * 1000); }
    },
    hide(frame) { if (lines.delete(frame.id)) drawLines(); },
    seen() { seenByShop = true; drawLines(); },
    typing(frame) {
      typist = frame.name || say("someone");
      typistUntil = now() + 6000;
      drawTyping();
    },
    error() { failures += 3; },
    pong() {},
  };
  function hear(frame) { HEARD[frame.t]?.(frame); }

  /** Lines are known by their ids: whatever comes twice, or by two ways, is there once. */
  const local = new Map();
  function take(given, quiet, older = false) {
    const got = [];
    let news = null;
    for (const line of given || []) {
      const before = lines.get(line.id);
      lines.set(line.id, line);
      if ((line.reaction || "") === settled.get(line.id)?.emoji) settled.delete(line.id);
      if (line.key) { local.delete(line.key); acknowledged.delete(line.key); uploads.delete(line.key); dequeue(line.key); }
      if (line.mine && !before) seenByShop = quiet ? seenByShop : false;
      if (!line.mine && line.st === "sent") got.push(line.id);
      if (!line.mine && !before && !older) { if (!quiet) { news = line; typist = null; } }
    }
    if ((given || []).length) keep({ talked: true });
    drawLines();
    if (got.length && !visible()) send({ t: "got", ids: got.slice(0, 100) });
    seen();
    if (news) announce(news);
  }
  function announce(line) {
    const words = line.text || line.files?.[0]?.name || "";
    lastAnnounced = `${say("news", line.name || looks.title)}: ${words}`.slice(0, 200);
    if (!opened) parts.status.textContent = lastAnnounced;
    tell("message", { id: line.id, text: words, name: line.name || "" });
    if (kept(common).sound && !visible()) beep();
  }
  const visible = () => opened && !document.hidden;
  /** Tell the shop what was read. */
  function seen() {
    const fresh = unread();
    if (visible() && fresh.length && welcomed) {
      if (send({ t: "read", ids: fresh.slice(-100) })) for (const id of fresh) read.add(id);
    }
    const count = unread().length;
    parts.badge.hidden = !count || opened;
    parts.badge.textContent = count > 99 ? "99+" : String(count);
    parts.launcher.setAttribute("aria-label", opened ? say("close") : count ? `${say("open")}, ${say("unread", count)}` : say("open"));
    if (count !== seen.before) { seen.before = count; tell("unread", count); }
  }
  const unread = () => [...lines.values()].filter((each) => !each.mine && !each.gone && each.st !== "read" && !read.has(each.id)).map((each) => each.id);

  let sounds = null;
  function beep() {
    try {
      sounds ||= new AudioContext();
      [660, 880].forEach((pitch, i) => {
        const tone = sounds.createOscillator();
        const volume = sounds.createGain();
        const at = sounds.currentTime + i * 0.12;
        tone.frequency.value = pitch;
        volume.gain.setValueAtTime(0.05, at);
        volume.gain.exponentialRampToValueAtTime(0.001, at + 0.11);
        tone.connect(volume).connect(sounds.destination);
        tone.start(at);
        tone.stop(at + 0.12);
      });
    } catch { /* no sound here */ }
  }

  // -- what goes ------------------------------------------------------------------------------------------------------

  const asFrame = ({ key, text, press, reply_to, react, emoji }) => (react ? { t: "react", key, id: react, emoji } : { t: "say", key, text, press, reply_to, ...about() });
  /** Written down first, then sent; sent again after each cut until the server says that it has it. */
  function put(entry) {
    keep({ queue: [...queue(), { key: newKey(), at: new Date().toISOString(), ...entry }] });
    drawLines(true);
    connect();
    flush();
  }
  function flush() {
    if (!welcomed) return;
    if (!socket) { if (queue().length) poll(); return; }
    for (const entry of queue()) {
      if (flying.has(entry.key)) continue;
      if (!send(asFrame(entry))) return;
      flying.set(entry.key, now());
    }
  }
  /** Line → the reaction that the server has taken, until the line itself comes with it. */
  const settled = new Map();
  const SETTLED_MS = 30000;
  function settle(key) {
    const wish = queue().find((each) => each.key === key);
    if (wish) settled.set(wish.react, { emoji: wish.emoji, until: now() + SETTLED_MS });
    dequeue(key);
    drawLines();
    flush();
  }
  /** The visitor's reaction on a line of ours: as wished, as taken, as it stands. */
  function reactionOn(line) {
    const taken = settled.get(line.id);
    return (wished(line.id) || (taken?.until > now() ? taken : { emoji: line.reaction })).emoji || "";
  }
  /** The same again takes it back. */
  function react(id, emoji) {
    const next = reactionOn(lines.get(id)) === emoji ? "" : emoji;
    keep({ queue: [...queue().filter((each) => each.react !== id), { key: newKey("r"), react: id, emoji: next }] });
    choosing = "";
    drawLines(false);
    connect();
    flush();
  }
  let saidTyping = 0;
  function typing() {
    if (now() - saidTyping < 3000 || !parts.text.value.trim()) return;
    saidTyping = now();
    send({ t: "typing", on: true });
  }

  function pick(files) {
    for (const file of files) {
      const entry = { key: newKey(), name: file.name || "image.png", file, at: new Date().toISOString() };
      uploads.set(entry.key, entry);
      if (file.size > looks.file_max_bytes) entry.fault = say("large", Math.floor(looks.file_max_bytes / 1e6));
      else upload(entry);
    }
    drawLines(true);
  }
  async function upload(entry, tries = 0) {
    delete entry.fault;
    drawLines();
    if (!token) { connect(); return void setTimeout(() => upload(entry, tries), 500); }
    try {
      const about_ = encodeURIComponent(JSON.stringify({ key: entry.key, name: entry.name, ...about() }));
      const headers = { Authorization: `Bearer ${token}`, "X-Rapport-About": about_, "Content-Type": entry.file.type || "application/octet-stream" };
      const answer = await fetch(`${base}/files`, { method: "POST", body: entry.file, headers });
      if (answer.ok) {
        entry.done = true;
        keep({ talked: true });
      } else {
        const told = await answer.json().catch(() => ({}));
        if ((answer.status === 429 || answer.status === 503) && tries < 6) return void setTimeout(() => upload(entry, tries + 1), 1000 * Number(answer.headers.get("Retry-After") || 5));
        entry.fault = answer.status === 413 ? say("large", Math.floor(looks.file_max_bytes / 1e6)) : told.code === "file_type" ? say("kind") : say("failed");
      }
    } catch {
      if (tries < 6) return void setTimeout(() => upload(entry, tries + 1), 1500 * 2 ** tries);
      entry.fault = say("failed");
    }
    drawLines();
  }

  // -- drawing --------------------------------------------------------------------------------------------------------

  const parts = {};
  function build() {
    const host = el("div", { id: "rapport-chat" });
    const shadow = host.attachShadow({ mode: "open" });
    try {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      shadow.adoptedStyleSheets = [sheet];
    } catch { shadow.append(el("style", {}, STYLE)); }
    parts.host = host;
    parts.badge = el("span.badge", { hidden: true, "aria-hidden": "true" });
    parts.glyph = el("span", {}, icon("chat", 26));
    parts.launcher = el("button.launcher", { type: "button", "aria-expanded": "false", "aria-controls": "panel", "data-testid": "launcher", onclick: () => (opened ? close() : open()) }, parts.glyph, parts.badge);
    parts.status = el("div.unseen", { role: "status", "aria-live": "polite" });
    parts.state = el("div.state", { hidden: true, role: "status", "data-testid": "state" });
    parts.list = el("ol.lines", { "data-testid": "lines" });
    parts.more = el("button.more", { type: "button", hidden: true, onclick: () => send({ t: "earlier", before: more }) }, say("earlier"));
    parts.typing = el("div.typing", { "data-testid": "typing" });
    parts.ask = el("div", {});
    parts.scroll = el("div.scroll", { tabindex: "0", role: "log", "aria-live": "polite", "aria-label": say("messages") }, parts.more, parts.list, parts.ask, parts.typing);
    parts.text = el("textarea", { id: "text", rows: "1", maxlength: "4000", placeholder: say("write"), "data-testid": "text", dir: "auto", oninput: () => { grow(); typing(); }, onkeydown: onKey });
    parts.send = el("button.tool.send", { type: "submit", "aria-label": say("send"), disabled: true, "data-testid": "send" }, icon("send"));
    parts.pick = el("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-hidden": "true", "data-testid": "file", onchange: () => { pick(parts.pick.files); parts.pick.value = ""; } });
    parts.clip = el("button.tool", { type: "button", "aria-label": say("attach"), onclick: () => parts.pick.click() }, icon("clip"));
    parts.write = el("form.write", { onsubmit: (event) => { event.preventDefault(); post(); } }, parts.clip, parts.pick, el("label.unseen", { for: "text" }, say("write")), parts.text, parts.send);
    parts.bell = el("button.tool", { type: "button", "aria-pressed": "false", onclick: () => { keep({ sound: !kept(common).sound }, common); drawBell(); } });
    parts.hours = el("p", { hidden: true });
    const shut = el("button.tool", { type: "button", "aria-label": say("close"), "data-testid": "close", onclick: close }, icon("down"));
    parts.title = el("h2", { id: "title" });
    parts.head = el("header.head", {}, el("div.who", {}, parts.title, parts.hours), parts.bell, shut);
    parts.panel = el("div.panel", { id: "panel", role: "dialog", "aria-labelledby": "title", hidden: true, "data-testid": "panel", onkeydown: trap }, parts.head, parts.state, parts.scroll, parts.write);
    parts.panel.addEventListener("pointerdown", (event) => { if (choosing && !event.target.closest(".reacts")) unchoose(); });
    parts.panel.addEventListener("paste", (event) => { if (event.clipboardData?.files.length && looks.file_max_bytes) { event.preventDefault(); pick(event.clipboardData.files); } });
    parts.panel.addEventListener("dragover", (event) => { if (looks.file_max_bytes) { event.preventDefault(); parts.panel.classList.add("dropping"); } });
    parts.panel.addEventListener("dragleave", () => parts.panel.classList.remove("dropping"));
    parts.panel.addEventListener("drop", (event) => { event.preventDefault(); parts.panel.classList.remove("dropping"); if (looks.file_max_bytes) pick(event.dataTransfer.files); });
    parts.root = el("div.root", { lang: words === WORDS.zh ? "zh-CN" : "en" }, parts.panel, parts.launcher, parts.status);
    shadow.append(parts.root);
    document.body.append(host);
  }

  function dress() {
    parts.title.textContent = looks.title;
    parts.hours.textContent = looks.hours_text;
    parts.hours.hidden = !looks.hours_text;
    parts.clip.hidden = !looks.file_max_bytes;
    parts.root.dataset.side = given.position || looks.position;
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const paint = () => {
      const theme = given.theme || looks.theme;
      const dark = theme === "dark" || (theme === "auto" && scheme.matches);
      parts.root.dataset.theme = dark ? "dark" : "light";
      const colour = /^#[0-9a-f]{6}$/i.test(given.colour || "") ? given.colour : looks.colour;
      const style = parts.root.style;
      style.setProperty("--accent", colour);
      style.setProperty("--on-accent", contrast(colour, "#ffffff") >= 4.5 ? "#ffffff" : "#10201c");
      style.setProperty("--tone", legible(colour, dark ? "#252d2a" : "#f4f6f5", dark ? "#ffffff" : "#000000"));
    };
    scheme.addEventListener("change", paint);
    paint();
    drawBell();
  }
  const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  function light(colour) {
    const [r, g, b] = channels(colour).map((each) => { const c = each / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function contrast(one, other) {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }
  /** The shop's colour, as far towards `end` as it takes to be read on `behind`. */
  function legible(colour, behind, end) {
    for (let step = 0; step <= 1; step += 0.05) {
      const mixed = channels(colour).map((each, i) => Math.round(each + (channels(end)[i] - each) * step).toString(16).padStart(2, "0")).join("");
      if (contrast(`#${mixed}`, behind) >= 4.6) return `#${mixed}`;
    }
    return end;
  }
  function drawBell() {
    const on = Boolean(kept(common).sound);
    parts.bell.replaceChildren(icon(on ? "bell" : "mute", 20));
    parts.bell.setAttribute("aria-label", say(on ? "soundOff" : "soundOn"));
    parts.bell.setAttribute("aria-pressed", String(on));
  }
  function state() {
    const cut = navigator.onLine === false || (connectedOnce && !welcomed && failures > 1);
    parts.state.hidden = !cut;
    parts.state.textContent = cut ? say("offline") : "";
    drawLines();
  }

  const clock = (at) => new Date(at).toLocaleTimeString(parts.root.lang, { hour: "2-digit", minute: "2-digit" });
  function day(at) {
    const date = new Date(at);
    const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 864e5);
    if (days === 0) return say("today");
    if (days === 1) return say("yesterday");
    return date.toLocaleDateString(parts.root.lang, { weekday: "short", day: "numeric", month: "short", year: days > 300 ? "numeric" : undefined });
  }

  /** Everything the thread shows, in order: what the server has, then what is still on its way. */
  function thread() {
    const all = [...lines.values()].sort((a, b) => (a.at === b.at ? a.seq - b.seq : a.at < b.at ? -1 : 1));
    const here = new Set(all.map((each) => each.key).filter(Boolean));
    const mine = [...local.values()].map((each) => ({ ...each, id: each.key, mine: true, state: each.fault ? "" : "sent" }));
    mine.push(...queue().filter((each) => !each.react).map((each) => ({ ...each, id: each.key, mine: true, state: "sending" })));
    mine.push(...[...uploads.values()].map((each) => ({ ...each, id: each.key, mine: true, files: [{ name: each.name, kind: "coming" }], state: each.done ? "sent" : "sending", upload: each })));
    mine.sort((a, b) => (a.at < b.at ? -1 : 1));
    return [...all, ...mine.filter((each) => !here.has(each.key))];
  }

  /** `down`: to the end, or (false) not; else where one is at the end one stays there. */
  function drawLines(down) {
    if (!parts.list) return;
    const box = parts.scroll;
    const atEnd = down ?? box.scrollHeight - box.scrollTop - box.clientHeight < 80;
    const shown = thread();
    const fresh = [];
    if (!more) fresh.push(["hello", "g", () => bubbleLine({ text: looks.greeting || say("hello"), name: looks.title }, true)]);
    let before = null;
    const lastMine = shown.filter((each) => each.mine).pop();
    // Of the buttons of a line one is pressed, once: line → what it stood for.
    const pressed = new Map(shown.filter((each) => each.pressed || each.press).map((each) => (each.pressed ? [each.pressed.of, each.pressed.payload] : [each.reply_to, each.press.payload])).reverse());
    for (const line of shown) {
      const today = new Date(line.at).toDateString();
      if (!before || new Date(before.at).toDateString() !== today) fresh.push([`day-${today}`, day(line.at), () => el("li.day", {}, day(line.at))]);
      const first = !before || before.mine !== line.mine || before.name !== line.name || new Date(line.at) - new Date(before.at) > 3e5;
      const foot = footOf(line, line === lastMine);
      // By what is seen: a line that the server has now is still the same one. Links of files are taken anew twice a day.
      const files = line.files?.map(({ name, kind, size }) => [name, kind, size, Math.floor(now() / 432e5)]);
      const print = JSON.stringify([line.text || line.press?.title, files, line.buttons, line.gone, line.name, first, line.mine && line.reaction, pressed.get(line.id)]);
      const takes = takesReactions(line) ? [reactionOn(line), choosing === line.id].join() : "";
      fresh.push([line.key || line.id, print, () => bubbleLine(line, first, pressed.get(line.id)), foot && [foot, line.upload?.fault].join(), () => footLine(line, foot), foot, takes, () => reactLine(line)]);
      before = line;
    }
    if (looks.away_text && before?.mine && before.id.startsWith("msg_") && !shown.some((each) => !each.mine && each.at > before.at)) {
      fresh.push(["away", looks.away_text, () => el("li.away", {}, looks.away_text)]);
    }
    patch(parts.list, fresh);
    rove();
    parts.more.hidden = !more;
    drawAsk(shown);
    if (atEnd) box.scrollTop = box.scrollHeight;
  }
  /** Keyed: what has not changed stays, so that a screen reader hears only what is new. */
  function patch(list, fresh) {
    const old = new Map([...list.children].map((each) => [each.dataset.id, each]));
    let at = list.firstElementChild;
    for (const [id, print, make, footPrint = "", makeFoot, state, takes = "", makeTakes] of fresh) {
      let node = old.get(id);
      if (!node || node.print !== print) {
        const made = make();
        made.dataset.id = id;
        made.print = print;
        if (node) { if (node === at) at = made; node.replaceWith(made); }
        node = made;
      }
      if ((node.footPrint || "") !== footPrint) {
        node.querySelector(":scope > .foot")?.remove();
        if (footPrint) node.append(makeFoot());
        node.footPrint = footPrint;
        node.dataset.state = state || "";
      }
      if ((node.takes || "") !== takes) {
        const gone = node.querySelector(":scope > .reacts");
        const held = gone?.contains(parts.host.shadowRoot.activeElement);
        gone?.remove();
        if (takes) node.insertBefore(makeTakes(), node.querySelector(":scope > .foot"));
        if (held) node.querySelector(".toggle")?.focus({ preventScroll: true });
        node.takes = takes;
      }
      old.delete(id);
      if (node === at) at = at.nextElementSibling;
      else list.insertBefore(node, at);
    }
    for (const node of old.values()) node.remove();
  }
  function footOf(line, last) {
    if (line.upload?.fault || line.fault) return "fault";
    if (line.state === "sending") return welcomed ? "sending" : "waiting";
    if (!line.mine) return line.mail ? "byMail" : "";
    if (line.mail) return "byMail";
    return last ? (seenByShop && line.id.startsWith("msg_") ? "seen" : "sent") : "";
  }

  function footLine(line, foot) {
    if (foot !== "fault") return el("p.foot", { "aria-live": "off" }, foot === "sent" || foot === "seen" ? `${say(foot)} · ${clock(line.at)}` : say(foot));
    const again = line.upload ? () => { if (line.upload.file.size <= looks.file_max_bytes) upload(line.upload); } : () => { local.delete(line.key); put({ text: line.text }); };
    return el("p.foot.bad", { role: "alert" }, line.upload ? line.upload.fault : say(line.fault), " ", el("button", { type: "button", onclick: again }, say("again")));
  }
  function bubbleLine(line, first, pressed) {
    const row = el(`li.line${line.mine ? ".mine" : ""}${first ? ".first" : ""}`, { "data-testid": "line" });
    if (first && !line.mine) row.append(el("p.name", {}, line.name || looks.title));
    row.append(el("span.unseen", {}, `${line.mine ? say("you") : line.name || looks.title}: `));
    const files = (line.files || []).map((each) => fileOf(each));
    const words = line.text || line.press?.title;
    if (line.gone) row.append(el("div.bubble", {}, el("span.gone", {}, say("gone"))));
    else {
      for (const each of files) row.append(el(`div.bubble${each.matches(".pic, audio") ? ".bare" : ""}`, {}, each));
      if (words) row.append(el("div.bubble", { dir: "auto" }, ...linked(words)));
      if (line.mine && line.reaction) row.append(el("span.reaction", { role: "img", "aria-label": say("reacted", line.reaction), "data-testid": "reaction" }, line.reaction));
    }
    if (line.buttons?.length && !line.gone) {
      row.append(el("div.press", { role: "group" }, ...line.buttons.map((each) => (each.url
        ? el("a", { href: each.url, target: "_blank", rel: "noopener noreferrer" }, each.title)
        : el("button", { type: "button", disabled: pressed !== undefined, "aria-pressed": pressed === undefined ? null : String(pressed === each.payload), onclick: () => put({ press: { payload: each.payload, title: each.title }, reply_to: line.id }) }, each.title)))));
    }
    return row;
  }

  // -- what the visitor thinks of a line -------------------------------------------------------------------------------

  /** The line for which an emoji is being chosen. */
  let choosing = "";
  const takesReactions = (line) => looks.reactions?.length && !line.mine && !line.gone && line.id?.startsWith("msg_");
  function choose(id) {
    choosing = id;
    drawLines(false);
    const row = parts.list.querySelector(".emojis");
    if (!row) return;
    (row.querySelector("[aria-pressed=true]") || row.firstElementChild).focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }
  function unchoose() {
    choosing = "";
    drawLines(false);
  }
  /** The reaction that stands, the button beside the bubble, and, once that is pressed, what to choose from. */
  function reactLine(line) {
    const chosen = reactionOn(line);
    const open_ = choosing === line.id;
    return el("div.reacts", { "aria-live": "off", onkeydown: (event) => walk(event, line) },
      chosen && el("button.reaction", { type: "button", "aria-label": say("takeBack", chosen), title: say("takeBack", chosen), "data-testid": "my-reaction", onclick: () => react(line.id, chosen) }, chosen),
      el("button.toggle", { type: "button", "aria-label": say("react"), title: say("react"), "aria-expanded": String(open_), "data-testid": "react", onclick: () => (open_ ? unchoose() : choose(line.id)) }, icon("smile", 20)),
      open_ ? el("div.emojis", { role: "group", "aria-label": say("react") }, ...looks.reactions.map((each) => el("button", {
        type: "button", "aria-label": say("reactWith", each), "aria-pressed": String(each === chosen), "data-testid": "react-with", onclick: () => react(line.id, each),
      }, each))) : null);
  }
  /** Left and right go through the emojis, up and down from message to message; Escape closes what is open, not the chat. */
  function walk(event, line) {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (event.key === "Escape" && choosing === line.id) unchoose();
    else if (step && event.target.matches(".emojis > *")) go(event.target.parentElement.children, event.target, step);
    else if (step && event.target.matches(".toggle") && /Up|Down/.test(event.key)) go(parts.list.querySelectorAll(".toggle"), event.target, step);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
  function go(all, from, step) {
    const next = all[[...all].indexOf(from) + step];
    next?.focus();
    if (next?.matches(".toggle")) rove();
  }
  /** One stop for Tab among all these buttons: where one is, or at the last message. */
  function rove() {
    const all = [...parts.list.querySelectorAll(".toggle")];
    const active = parts.host.shadowRoot.activeElement;
    const stop = all.includes(active) ? active : all[all.length - 1];
    for (const each of all) each.tabIndex = each === stop ? 0 : -1;
  }
  function fileOf(file) {
    const href = file.href && (file.href.startsWith("http") ? file.href : `${base}/${file.href}`);
    if (file.kind === "image") {
      const picture = el("img.pic", { src: href, alt: file.caption || file.name, loading: "lazy", onload: () => { if (parts.scroll.scrollHeight - parts.scroll.scrollTop - parts.scroll.clientHeight < 320) parts.scroll.scrollTop = parts.scroll.scrollHeight; } });
      const link = el("a.pic", { href, target: "_blank", rel: "noopener noreferrer" }, picture);
      return link;
    }
    if (file.kind === "audio") return el("audio", { src: href, controls: true, preload: "none", "aria-label": file.name });
    if (file.kind === "video") return el("video.pic", { src: href, controls: true, preload: "none", "aria-label": file.name });
    const size = file.size ? `${file.size > 1e6 ? (file.size / 1e6).toFixed(1) : Math.max(1, Math.round(file.size / 1e3))} ${file.size > 1e6 ? "MB" : "kB"}` : file.kind === "missing" ? say("missing") : "";
    return el(href ? "a.file" : "div.file", href ? { href, download: file.name, target: "_blank", rel: "noopener noreferrer" } : {}, icon("file", 20), el("span", {}, file.name), size ? el("small", {}, size) : null);
  }
  function linked(text) {
    return text.split(/(https?:\/\/[^\s<>"']+)/g).flatMap((part, i) => {
      if (i % 2 === 0) return [part];
      const tail = part.match(/[.,;:!?)\]}，。！？；：）]+$/)?.[0] || "";
      const url = part.slice(0, part.length - tail.length);
      return [el("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, url), tail];
    });
  }
  function drawTyping() {
    const on = typist && typistUntil > now();
    const text = on ? say("typing", typist) : "";
    if (parts.typing.textContent !== text) {
      parts.typing.replaceChildren(...(on ? [el("span.dots", { "aria-hidden": "true" }, el("i"), el("i"), el("i")), text] : []));
      if (on && parts.scroll.scrollHeight - parts.scroll.scrollTop - parts.scroll.clientHeight < 120) parts.scroll.scrollTop = parts.scroll.scrollHeight;
    }
    if (on) setTimeout(drawTyping, 1000);
  }

  // -- who is there ---------------------------------------------------------------------------------------------------

  const address_ = /^[^\s@]+@[^\s@]+\.[^\s@]{2,}$/;
  const required = () => ["name", "email"].filter((each) => looks[`ask_${each}`] === "required" && !(kept().me || {})[each] && !known && !identity);
  function field(name, must) {
    const input = el("input.input", { id: `f-${name}`, type: name === "email" ? "email" : "text", autocomplete: name, maxlength: "120", required: must, "aria-describedby": `x-${name}`, value: (kept().me || {})[name] || "" });
    return [el("label", { for: `f-${name}` }, say(name), must ? null : el("small", {}, ` (${say("optional")})`)), input, el("p.fault", { id: `x-${name}`, hidden: true, role: "alert" })];
  }
  function checked(form) {
    const me = { ...kept().me };
    let fault = null;
    for (const input of form.querySelectorAll("input")) {
      const name = input.id.slice(2);
      const value = input.value.trim();
      const wrong = (input.required && !value) || (name === "email" && value && !address_.test(value));
      const note = form.querySelector(`#x-${name}`);
      input.setAttribute("aria-invalid", String(Boolean(wrong)));
      note.hidden = !wrong;
      note.textContent = wrong ? say(name === "email" ? "mailFault" : "nameFault") : "";
      if (wrong) fault ||= input;
      else if (value) me[name] = value;
    }
    fault?.focus();
    return fault ? null : me;
  }
  function drawGate() {
    const need = required().length > 0 && !lines.size;
    if (need && !parts.gate) {
      const asked = ["name", "email"].filter((each) => looks[`ask_${each}`] !== "no");
      parts.gate = el("form.form", { novalidate: true, "data-testid": "gate", onsubmit: (event) => {
        event.preventDefault();
        const me = checked(parts.gate);
        if (!me) return;
        keep({ me });
        drawGate();
        parts.text.focus();
      } }, el("p", {}, looks.greeting || say("hello")), el("p", {}, say("before")), ...asked.flatMap((each) => field(each, looks[`ask_${each}`] === "required")), el("button.button", { type: "submit" }, say("begin")));
      parts.scroll.before(parts.gate);
    }
    if (!need && parts.gate) { parts.gate.remove(); parts.gate = null; }
    parts.scroll.hidden = parts.write.hidden = need;
  }
  /** After the first message, once: how to reach somebody who leaves. */
  function drawAsk(shown) {
    const me = kept().me || {};
    const due = looks.ask_email === "optional" && !me.email && !me.declined && !identity && shown.some((each) => each.mine);
    if (!due) { if (parts.ask.firstChild && !parts.ask.thanks) parts.ask.replaceChildren(); return; }
    if (parts.ask.firstChild) return;
    const done = (me) => { keep({ me: { ...kept().me, ...me } }); parts.ask.replaceChildren(); };
    const form = el("form.note", { novalidate: true, "data-testid": "ask", onsubmit: (event) => {
      event.preventDefault();
      const me = checked(form);
      if (!me?.email) return void form.querySelector("input").focus();
      parts.ask.thanks = true;
      done(me);
      parts.ask.append(el("p.away", { role: "status" }, say("thanks", me.email)));
      if (socket) redial(); else connect();
      parts.text.focus();
    } }, el("p", {}, say(looks.by_mail ? "mail" : "mailLost")), el("label.unseen", { for: "f-email" }, say("email")),
    el("div.row", {}, el("input.input", { id: "f-email", type: "email", autocomplete: "email", maxlength: "120", placeholder: say("email"), "aria-describedby": "x-email" }), el("button.button", { type: "submit" }, say("save"))),
    el("p.fault", { id: "x-email", hidden: true, role: "alert" }), el("button.button.plain", { type: "button", onclick: () => { done({ declined: true }); parts.text.focus(); } }, say("no")));
    parts.ask.append(form);
  }

  // -- writing --------------------------------------------------------------------------------------------------------

  function grow() {
    const field = parts.text;
    field.style.height = "auto";
    field.style.height = `${Math.min(132, field.scrollHeight + 2)}px`;
    parts.send.disabled = !field.value.trim();
  }
  function onKey(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      post();
    }
  }
  function post() {
    const text = parts.text.value.trim();
    if (!text) return;
    parts.text.value = "";
    grow();
    saidTyping = 0;
    put({ text });
    parts.text.focus();
  }

  // -- opening --------------------------------------------------------------------------------------------------------

  let before = null;
  const narrow = () => matchMedia("(max-width: 480px), (max-height: 460px)").matches;
  function open() {
    if (!looks || hidden) { pending.open = true; return; }
    if (opened) return;
    opened = true;
    before = document.activeElement;
    keep({ open: true }, common);
    parts.panel.hidden = false;
    parts.panel.setAttribute("aria-modal", String(narrow()));
    parts.root.classList.add("open");
    parts.launcher.setAttribute("aria-expanded", "true");
    parts.glyph.replaceChildren(icon("close", 26));
    parts.status.textContent = "";
    drawGate();
    drawLines(true);
    (parts.gate?.querySelector("input") || parts.text).focus({ preventScroll: true });
    connect();
    seen();
    tell("open");
  }
  function close() {
    pending.open = false;
    if (!opened) return;
    opened = false;
    keep({ open: false }, common);
    parts.panel.hidden = true;
    parts.root.classList.remove("open");
    parts.launcher.setAttribute("aria-expanded", "false");
    parts.glyph.replaceChildren(icon("chat", 26));
    const back = before && before !== document.body && before.isConnected && before !== parts.host ? before : parts.launcher;
    back.focus({ preventScroll: true });
    seen();
    tell("close");
  }
  /** Escape closes; on a phone, where the chat is all there is, the focus stays in it. */
  function trap(event) {
    if (event.key === "Escape") { event.stopPropagation(); return close(); }
    if (event.key !== "Tab" || !narrow()) return;
    const all = [...parts.panel.querySelectorAll("button, input, textarea, a[href], [tabindex='0']")].filter((each) => each.offsetParent && !each.disabled && each.tabIndex >= 0);
    const active = parts.host.shadowRoot.activeElement;
    const edge = event.shiftKey ? all[0] : all[all.length - 1];
    if (active === edge) { event.preventDefault(); (event.shiftKey ? all[all.length - 1] : all[0]).focus(); }
  }

  // -- for the page ---------------------------------------------------------------------------------------------------

  const pending = {};
  function forget() {
    lines.clear();
    local.clear();
    read.clear();
    uploads.clear();
    settled.clear();
    choosing = "";
    more = null;
    seenByShop = known = false;
    token = "";
  }
  const Rapport = {
    channel,
    open, close,
    toggle: () => (opened ? close() : open()),
    show() { hidden = false; parts.host.hidden = false; },
    hide() { close(); hidden = true; if (parts.host) parts.host.hidden = true; },
    /** Who is signed in. Resolves to true when the server believes it. */
    identify(claim) {
      const next = usable(claim);
      if (!next) return Promise.resolve(false);
      if (JSON.stringify(next) === JSON.stringify(identity) && welcomed) return Promise.resolve(known);
      if (identity && identity.user_id !== next.user_id) forget();
      identity = next;
      return new Promise((done) => {
        identifying.push(done);
        redial();
      });
    },
    /** Somebody signed out: what is shown and kept of them goes. */
    reset() {
      try { if (identity) localStorage.removeItem(place()); localStorage.removeItem(common); } catch { /* nothing was kept */ }
      memory = {};
      identity = null;
      forget();
      connectedOnce = false;
      hangUp();
      if (looks) { drawGate(); drawLines(); seen(); connect(); }
    },
    on(name, listener) {
      if (!listeners.has(name)) listeners.set(name, new Set());
      listeners.get(name).add(listener);
      if (name === "ready" && looks) listener();
      return () => listeners.get(name).delete(listener);
    },
  };
  window.Rapport = Rapport;

  async function start() {
    let tries = 0;
    while (!looks) {
      try {
        const answer = await fetch(`${base}/looks`);
        if (answer.ok) looks = await answer.json();
        else if (answer.status < 500 && answer.status !== 429) return console.warn(`Rapport: the chat is not available here (${answer.status}).`);
      } catch {
        if (tries === 0) console.warn(`Rapport: the chat cannot be loaded. Either the server is out of reach, or ${location.origin} is not among the allowed websites of this channel.`);
      }
      if (!looks) await new Promise((done) => setTimeout(done, Math.min(60000, 2000 * 2 ** tries++)));
    }
    const language = wanted || (looks.language === "auto" ? (document.documentElement.lang || navigator.language || "") : looks.language);
    words = /^zh/i.test(language) ? WORDS.zh : WORDS.en;
    build();
    dress();
    drawLines();
    seen();
    connect();
    if (pending.open || (kept(common).open && !narrow())) open();
    tell("ready");
    dispatchEvent(new CustomEvent("rapport:ready"));
  }
  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
