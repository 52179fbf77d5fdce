// The API page: search, a form per operation made from the OpenAPI document, a curl line, an answer.
const words = JSON.parse(document.querySelector("#words").textContent);
const csrf = document.querySelector("meta[name=csrf]")?.content ?? "";
const token = document.querySelector("[data-token]");
const search = document.querySelector("[data-search]");
const UNSENT = new Set(["stream"]);
let spec;

const loaded = fetch("/api/openapi.json", { credentials: "omit" })
  .then((answer) => answer.json())
  .then((found) => (spec = found));

/** An element with text, attributes and children. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function resolved(schema) {
  while (schema?.$ref) schema = spec.components.schemas[schema.$ref.split("/").pop()];
  return schema ?? {};
}

/** What a value of this schema may look like. Optional parts of a body are shown one level deep. */
function sample(schema, depth = 0) {
  schema = resolved(schema);
  const choice = (schema.anyOf ?? schema.oneOf)?.find((each) => each.type !== "null");
  if (choice) return sample(choice, depth);
  if (schema.examples?.length) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") {
    const fields = Object.entries(schema.properties ?? {});
    const shown = fields.filter(([name]) => depth < 1 || schema.required?.includes(name));
    return Object.fromEntries(shown.map(([name, each]) => [name, sample(each, depth + 1)]));
  }
  if (schema.type === "array") return depth < 3 && schema.items ? [sample(schema.items, depth + 1)] : [];
  if (schema.type === "integer" || schema.type === "number") return schema.default ?? schema.minimum ?? 1;
  if (schema.type === "boolean") return schema.default ?? true;
  if (schema.type === "string") return schema.default || prefixed(schema.pattern) || "text";
  return {};
}

/** `^prf_[0-9a-z]{26}$` → `prf_…` */
function prefixed(pattern) {
  const found = /^\^(\w{3})_/.exec(pattern ?? "");
  return found ? `${found[1]}_…` : "";
}

/** Text with `names` in it. */
function prose(text) {
  return text.split("`").map((part, place) => (place % 2 ? make("code", {}, part) : part));
}

function described(operation) {
  const item = spec.paths[operation.dataset.path];
  return item[operation.dataset.method.toLowerCase()];
}

function parameterField(parameter, id) {
  const schema = resolved(parameter.schema);
  const attributes = { class: "input mono", id, name: parameter.name, "data-in": parameter.in };
  const input = schema.enum
    ? make("select", { ...attributes, class: "select" }, make("option", { value: "" }), ...schema.enum.map((each) => make("option", {}, each)))
    : make("input", { ...attributes, placeholder: prefixed(schema.pattern) || schema.type || "", autocomplete: "off" });
  const label = make("label", { for: id }, parameter.name + (parameter.required ? " *" : ""));
  const hint = parameter.description ? [make("span", { class: "hint" }, ...prose(parameter.description))] : [];
  return make("p", { class: "field" }, label, input, ...hint);
}

function build(operation) {
  const about = described(operation);
  const form = make("form", { class: "trial" });
  const shown = about.parameters.filter((each) => each.in !== "header");
  const fields = make("div", { class: "trial-fields" });
  shown.forEach((each, place) => fields.append(parameterField(each, `${about.operationId}-${place}`)));
  if (shown.length) form.append(fields);
  const content = about.requestBody?.content["application/json"];
  if (content) {
    const text = JSON.stringify(content.example ?? sample(content.schema), null, 2);
    const id = `${about.operationId}-body`;
    const area = make("textarea", { class: "textarea mono", id, "data-body": true, rows: Math.min(18, text.split("\n").length), spellcheck: "false" });
    area.value = text;
    form.append(make("p", { class: "field" }, make("label", { for: id }, words.body), area));
  }
  const curl = make("pre", { class: "curl", tabindex: "0" });
  const copy = make("button", { type: "button", class: "button button-small" }, words.copy);
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(curl.textContent);
    copy.textContent = words.copied;
    setTimeout(() => (copy.textContent = words.copy), 1500);
  });
  const output = make("div", { class: "trial-answer", "aria-live": "polite" });
  form.append(make("div", { class: "curl-box" }, curl, copy));
  if (!UNSENT.has(about.operationId)) form.append(make("p", {}, make("button", { class: "button button-main" }, words.send)));
  form.append(output, answerFields(about));
  const refresh = () => (curl.textContent = curlOf(operation, form));
  form.addEventListener("input", refresh);
  token.addEventListener("input", refresh);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(operation, form, output);
  });
  refresh();
  return form;
}

function answerFields(about) {
  const good = Object.entries(about.responses).find(([status]) => status.startsWith("2"));
  const schema = good?.[1].content?.["application/json"]?.schema;
  if (!schema) return "";
  const example = make("pre", { class: "curl", tabindex: "0" }, JSON.stringify(sample(schema), null, 2));
  return make("details", { class: "trial-shape" }, make("summary", {}, `${words.fields} · ${good[0]}`), example);
}

function request(operation, form) {
  let path = operation.dataset.path;
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-in]")) {
    if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value) || `{${field.name}}`);
    else if (field.value) query.set(field.name, field.value);
  }
  const asked = query.size ? `?${query}` : "";
  return { url: path + asked, method: operation.dataset.method, body: form.querySelector("[data-body]")?.value };
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function curlOf(operation, form) {
  const { url, method, body } = request(operation, form);
  const lines = [`curl -X ${method} ${quoted(location.origin + url)}`, `-H "Authorization: Bearer $RAPPORT_TOKEN"`];
  if (method === "POST") lines.push(`-H "Idempotency-Key: $(uuidgen)"`);
  if (body) lines.push("-H 'Content-Type: application/json'", `-d ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

async function send(operation, form, output) {
  const { url, method, body } = request(operation, form);
  if (method === "DELETE" && !confirm(words.sure)) return;
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  if (token.value) headers.Authorization = `Bearer ${token.value}`;
  else if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  const began = performance.now();
  try {
    const answer = await fetch(url, { method, headers, body: body || undefined, credentials: token.value ? "omit" : "same-origin" });
    const text = await answer.text();
    const took = Math.round(performance.now() - began);
    const tone = answer.ok ? "good" : "danger";
    const status = make("p", { class: `trial-status ${tone}` }, `${answer.status} ${answer.statusText} · ${took} ms`);
    output.replaceChildren(status, make("pre", { class: "curl", tabindex: "0" }, pretty(text)));
  } catch {
    output.replaceChildren(make("p", { class: "trial-status danger", role: "alert" }, words.failed));
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text.slice(0, 100_000);
  }
}

async function open(operation) {
  const holder = operation.querySelector("[data-trial]");
  if (!operation.open || holder.childElementCount) return;
  await loaded;
  holder.replaceChildren(build(operation));
}

const operations = [...document.querySelectorAll("[data-operation]")];
for (const each of operations) each.addEventListener("toggle", () => open(each));

search.addEventListener("input", () => {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let any = false;
  for (const each of operations) {
    const text = each.querySelector("summary").textContent.toLowerCase();
    each.hidden = !wanted.every((word) => text.includes(word));
    any ||= !each.hidden;
  }
  for (const group of document.querySelectorAll("[data-group]")) {
    group.hidden = !group.querySelector("[data-operation]:not([hidden])");
  }
  document.querySelector("[data-none]").hidden = any;
});

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, select")) {
    event.preventDefault();
    search.focus();
  }
});

const chosen = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
if (chosen instanceof HTMLDetailsElement) chosen.open = true;
