// Colleagues while one writes a note: @ and a few letters, and who can be called stands above the text.
import { ask } from "./ask.js";
import { close, offer } from "./offer.js";
import { word } from "./words.js";

const SHOWN = 8;
/** An @ that no word goes before (Chinese is written without spaces), and the beginning of a name of up to two words. */
const ASKED = /(?:^|[^\p{L}\p{N}]|\p{Script=Han})@([^\s@]{0,40}(?: [^\s@]{0,40})?)$/u;

let colleagues = null;

const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const fits = (name, words) => name.startsWith(words) || name.split(/\s+/).slice(1).some((part) => part.startsWith(words));

/** Look at what stands before the caret of `field`, a note. */
export async function look(field) {
  const found = field.selectionStart === field.selectionEnd && ASKED.exec(field.value.slice(0, field.selectionStart));
  if (!found) return close();
  colleagues ??= ask("/api/v1/presence?limit=200").then(async (answer) => (await answer.json()).data).catch(() => []);
  const before = field.value;
  const known = await colleagues;
  if (!field.isConnected || document.activeElement !== field || field.value !== before) return;
  const words = plain(found[1]);
  const from = field.selectionStart - found[1].length - 1;
  const rows = known.filter(({ name }) => name && fits(plain(name), words)).slice(0, SHOWN);
  offer(field, "calling", word("calling"), rows.map(({ name, here }) => ({ name, rest: here ? "" : word("not_here"), take: () => call(field, name, from) })));
}

function call(field, name, from) {
  field.setRangeText(`@${name} `, from, field.selectionStart, "end");
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

document.addEventListener("input", (event) => { if (event.target.matches?.("[data-calls]")) look(event.target); });
