// Voice messages: quicker on request; where a browser cannot play one, it is offered to be saved.
import { word } from "./words.js";

const SPEEDS = [1, 1.5, 2];

document.addEventListener("play", ({ target }) => {
  if (!target.matches?.("audio.media-audio") || target.nextElementSibling?.matches(".speed")) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button button-small speed num", textContent: "1×" });
  button.setAttribute("aria-label", word("speed"));
  button.dataset.testid = "speed";
  button.addEventListener("click", () => {
    const next = SPEEDS[(SPEEDS.indexOf(target.playbackRate) + 1) % SPEEDS.length];
    target.playbackRate = next;
    button.textContent = `${next}×`;
  });
  target.after(button);
}, true);

document.addEventListener("error", ({ target }) => {
  if (!target.matches?.("audio.media-audio, video.media")) return;
  const link = Object.assign(document.createElement("a"), { className: "file", href: target.src, download: "", textContent: `${target.getAttribute("aria-label")} · ${word("save")}` });
  target.replaceWith(link);
}, true);
