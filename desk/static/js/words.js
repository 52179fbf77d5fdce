// Sentences and small formats in the reader's language; the page brings them along.
const words = JSON.parse(document.getElementById("words")?.textContent ?? "{}");

export const word = (name) => words[name] ?? name;

const UNITS = [[604800, "w"], [86400, "d"], [3600, "h"], [60, "m"]];

/** A length of time in its `parts` largest units: "4m", "5h 12m". */
export function span(seconds, parts = 1) {
  let left = Math.max(0, Math.floor(seconds));
  const found = [];
  for (const [size, unit] of UNITS) {
    if (unit === "w" && parts > 1) continue;
    if (left >= size && found.length < parts) {
      found.push(word(unit).replace("#", Math.floor(left / size)));
      left %= size;
    } else if (found.length) break;
  }
  return found.join(" ") || word("now");
}

/** Keep every `<time data-age>` true. */
export function age(root = document) {
  const now = Date.now();
  for (const each of root.querySelectorAll("time[data-age]")) {
    const text = span((now - Date.parse(each.dateTime)) / 1000);
    if (each.textContent !== text) each.textContent = text;
  }
}
