// What was done to conversations, and the way back; labels to choose from.
import { part, toast } from "./ask.js";
import { word } from "./words.js";

/** Tell of an act and offer to undo it; `again` reads anew what it changed, and is given the ids of that. */
export function offer(did, again) {
  if (!did) return;
  const said = did.querySelector(".did-words").textContent.trim();
  const way = did.querySelector("button") && { label: word("undo"), act: () => undo(did.getAttribute("action"), again) };
  toast(said, way);
}

async function undo(url, again) {
  try {
    const did = (await part(url, { method: "POST" })).getElementById("did");
    toast(did.querySelector(".did-words").textContent.trim());
    again(did.dataset.ids ? did.dataset.ids.split(",") : []);
  } catch (error) { toast(error.message || word("failed")); }
}

document.addEventListener("focusin", async (event) => {
  const list = event.target.matches?.("[data-labels]") && event.target.list;
  if (!list || list.childElementCount) return;
  try {
    list.replaceChildren(await part("/inbox/labels"));
  } catch { /* one can write a label without */ }
});
