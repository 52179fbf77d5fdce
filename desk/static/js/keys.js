// The key of what is being named, shown while its name is written; the server makes the same (profiles/naming.py).
const field = document.querySelector("[data-key-of]");
const names = [...document.querySelectorAll(field.dataset.keyOf)];
const [standing, known] = JSON.parse(field.dataset.keys).map((each) => new Set(each));
const SPELT = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ð: "d", þ: "th", ł: "l", ı: "i", ħ: "h", ŋ: "n" };
const LENGTH_MAX = 40;

function keyOf(name) {
  const plain = name.toLowerCase().replace(/[ßæœøđðþłıħŋ]/g, (sign) => SPELT[sign]).normalize("NFKD");
  const words = plain.replace(/\p{M}/gu, "").replace(/[^a-z0-9]+/g, "_").replace(/^[_0-9]+/, "");
  return words.slice(0, LENGTH_MAX).replace(/^_+|_+$/g, "");
}

function freeKey() {
  const name = names.map((each) => each.value.trim()).find(Boolean) ?? "";
  if (!name) return "";
  const base = keyOf(name);
  if (base && !standing.has(base)) return base;
  const stem = base || field.dataset.keyOtherwise;
  let number = base ? 2 : 1;
  while (standing.has(`${stem}_${number}`) || known.has(`${stem}_${number}`)) number += 1;
  return `${stem}_${number}`;
}

// Whoever writes a key of their own keeps it; whoever empties the field leaves it to the name again.
let own = field.value !== "" && field.value !== freeKey();
field.addEventListener("input", () => { own = field.value !== ""; });
field.addEventListener("blur", show);
for (const each of names) each.addEventListener("input", show);
show();

function show() {
  if (!own) field.value = freeKey();
}
