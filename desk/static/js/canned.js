// Canned replies while one writes: a slash and a few letters, a list above the text, the one that is chosen filled in.
import { ask, toast } from "./ask.js";
import { close, offer, tell } from "./offer.js";
import { word } from "./words.js";

const WAIT_MS = 120;
const SHOWN = 8;
/** A slash at the beginning or after a space, and what was typed since. */
const ASKED = /(?:^|\s)\/([^\s/]{0,40})$/u;

let asked = 0;
let timer = 0;

/** Look at what stands before the caret of `field`; `use(filled, from)` gets what was chosen for `talk`. Whether a slash is. */
export function look(field, talk, use) {
  const found = field.selectionStart === field.selectionEnd && ASKED.exec(field.value.slice(0, field.selectionStart));
  clearTimeout(timer);
  asked += 1;
  if (found) timer = setTimeout(() => show(field, talk, found[1], use), WAIT_MS);
  return Boolean(found);
}

async function show(field, talk, words, use) {
  const turn = asked;
  const query = new URLSearchParams({ conversation: talk, limit: SHOWN, ...(words && { q: words }) });
  let rows = null;
  try { rows = (await (await ask(`/api/v1/canned-replies?${query}`)).json()).data; } catch { /* nothing is offered, and nothing said of it */ }
  if (turn !== asked || !field.isConnected || document.activeElement !== field) return;
  if (!rows) return close();
  if (!rows.length) return tell(field, "canned-none", word(words ? "canned_no_match" : "canned_none"), word("canned_make"), `/settings/canned/new?${new URLSearchParams(words && { shortcut: words })}`);
  const from = field.selectionStart - words.length - 1;
  const said = (row) => [row.title, row.url ? new URL(row.url).host : row.text.replace(/\s+/g, " ")].filter(Boolean).join(" · ");
  offer(field, "canned", word("canned"), rows.map((row) => ({ name: `/${row.shortcut}`, rest: said(row), take: () => choose(field, talk, row.id, from, use) })));
}

async function choose(field, talk, id, from, use) {
  const to = field.selectionStart;
  asked += 1;
  close();
  try {
    const body = JSON.stringify({ conversation_id: talk });
    const made = await (await ask(`/api/v1/canned-replies/${id}/render`, { method: "POST", body, headers: { "Content-Type": "application/json" } })).json();
    if (made.fault) toast(word(`canned_${made.fault.code}`));
    else if (field.isConnected) use(made, from, to);
  } catch (error) { toast(error.message || word("failed")); }
}
