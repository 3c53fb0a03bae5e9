"use strict";
const token = new URLSearchParams(location.search).get("token");
const $ = (id) => document.getElementById(id);
const PANELS = { before: "slices before, encoded", after: "slices after, encoded", encoded: "the encoded image as RGB" };
let store, found, row = -1, only = null, asked = 0, listed = [], total = 0;
// What is enlarged (a scale and where the slice's corner lies, in widths of the stage), the point of the planes, the marks.
let zoom = { scale: 1, x: 0, y: 0 }, point = null, marks = [], again;

function address(path, values) {
  return path + "?" + new URLSearchParams({ ...values, token });
}
async function get(path, values = {}) {
  const answer = await fetch(address(path, values));
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}
function make(tag, text = "", attributes = {}) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.textContent = text;
  return node;
}
function picture(source, caption) {
  const figure = make("figure");
  figure.append(make("img", "", { src: source, alt: caption }), make("figcaption", caption));
  return figure;
}
const run = () => found.runs[+$("run").value || 0];
const chosen = () => (only === null ? {} : { only });

async function listCases(more = false) {
  if (more && listed.length >= total) return;
  const mine = ++asked;
  const answer = await get("/api/cases", { words: $("words").value, by: $("by").value, start: more ? listed.length : 0 });
  if (mine !== asked) return;
  listed = (more ? listed : []).concat(answer.cases.map((entry) => entry.case));
  total = answer.total;
  const scored = answer.scored === undefined ? "" : `, ${answer.scored} scored`;
  $("found").textContent = (listed.length < total ? `the first ${listed.length} of ${total}` : `${total} cases`) + scored;
  const items = answer.cases.map((entry) => {
    const item = make("li"), button = make("button", entry.case, { type: "button" });
    button.append(make("div", `${entry.modality} · ${entry.split || "no split"} · ${entry.n_samples}${dice(entry.dice, " · Dice ")}`, { className: "soft" }));
    button.dataset.case = entry.case;
    button.onclick = () => openCase(entry.case);
    item.append(button);
    return item;
  });
  if (more) $("cases").append(...items);
  else $("cases").replaceChildren(...items);
  // Cases are scored while one looks: the list follows, as long as one is at its top.
  clearTimeout(again);
  if (answer.scored < store.predicted) again = setTimeout(() => $("cases").scrollTop || listCases(), 3000);
  markCase();
}
function markCase() {
  for (const button of $("cases").querySelectorAll("button"))
    button.setAttribute("aria-current", String(button.dataset.case === found?.case));
}
async function openCase(name, state = {}) {
  found = await get("/api/case", { case: name });
  only = state.only === undefined ? null : +state.only;
  $("title").textContent = found.case;
  $("run").replaceChildren(...found.runs.map((one, i) =>
    make("option", `${one.rendition} · ${one.view} · ${one.count} slices`, { value: i })));
  const facts = { subject: found.subject, modality: found.modality, split: found.split, source: found.source,
    "voxels z, y, x": found.shape.join(" × "), "spacing z, y, x": found.spacing.map((x) => +x.toPrecision(3)).join(" × ") + " mm",
    "grey values": found.decision, notes: found.notes.join(" ") };
  $("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value)
    .flatMap(([fact, value]) => [make("dt", fact), make("dd", value)]));
  markCase();
  await openRun(state);
}
async function openRun(state = {}) {
  if (state.run in found.runs) $("run").value = state.run;
  const one = run();
  $("slider").max = one.count - 1;
  $("slider").value = state.slice === undefined ? Math.floor(one.count / 2) : state.slice;
  if (state.order !== undefined) $("order").value = state.order;
  if (state.fill !== undefined) $("fill").value = state.fill;
  const numbers = (text) => text.split(",").map(Number);
  if (state.zoom !== undefined) { const [scale, x, y] = numbers(state.zoom); zoom = { scale, x, y }; }
  point = state.at === undefined ? null : numbers(state.at);
  marks = (await get("/api/run", { row: one.start })).marks;
  await loadScores();
  placeInner();
  drawMarks();
  await show();
}
async function show() {
  const one = run(), at = +$("slider").value, order = +$("order").value;
  row = one.start + at;
  $("where").textContent = `slice ${at} of 0 to ${one.count - 1}`;
  const values = { row, order, ...chosen() };
  $("outlines").src = address(base(), values);
  showFill();
  showDifference();
  const panels = $("panels");
  Object.entries(PANELS).forEach(([what, caption], i) => {
    const source = address(`/${what}.png`, values);
    if (panels.children[i]) panels.children[i].firstChild.src = source;
    else panels.append(picture(source, caption));
  });
  showContext(values);
  showPlanes();
  keep();
  const mine = row, facts = await get("/api/slice", { row });
  if (mine === row) showClasses(facts);
}
function showContext(values) {
  const depth = values.order ? 3 * values.order - 2 : 0;
  const distances = [...Array(depth).keys()].map((i) => i - depth).concat([...Array(depth).keys()].map((i) => i + 1));
  $("context").replaceChildren(...distances.map((distance) => {
    const reduced = 1 << Math.floor((Math.abs(distance) + 1) / 3);
    const size = reduced > 1 ? `, 1/${reduced} size` : "";
    const told = `${distance > 0 ? "+" : "−"}${Math.abs(distance)}${size}`;
    return picture(address("/context.png", { row: values.row, order: values.order, distance }), told);
  }));
  if (!depth) $("context").append(make("p", "Order 0: the focal slice alone, no context.", { className: "soft" }));
}
function showClasses(facts) {
  const names = new Map(found.classes.map((entry) => [entry.id, entry]));
  $("classes").replaceChildren(...facts.class_ids.map((id, i) => {
    const entry = names.get(id), item = make("li");
    const button = make("button", `${id} ${entry.name} (${facts.class_pixels[i].toLocaleString("en")} pixels${sliceDice(id)})`, { type: "button" });
    if (entry.colour) button.prepend(dot(entry.colour));
    button.setAttribute("aria-pressed", String(only === id));
    button.onclick = () => choose(id);
    item.append(button);
    return item;
  }));
  if (!facts.class_ids.length) $("classes").append(make("li", "nothing labelled"));
  $("prompts").replaceChildren(...(only === null ? [] : names.get(only).prompts).map((words) => make("li", words)));
}
function dot(colour) {
  const space = "http://www.w3.org/2000/svg", mark = document.createElementNS(space, "svg");
  const disc = document.createElementNS(space, "circle");
  for (const [name, value] of Object.entries({ cx: 5, cy: 5, r: 5, fill: `rgb(${colour})` })) disc.setAttribute(name, value);
  mark.setAttribute("viewBox", "0 0 10 10");
  mark.setAttribute("aria-hidden", "true");
  mark.append(disc);
  return mark;
}
function choose(id) {
  only = only === id ? null : id;
  drawMarks();
  showWorst();
  show();
}
function keep() {
  const state = { case: found.case, run: $("run").value || 0, slice: $("slider").value, order: $("order").value,
    ...chosen(), ...(+$("fill").value ? { fill: $("fill").value } : {}),
    ...(zoom.scale > 1 ? { zoom: [zoom.scale, zoom.x, zoom.y].map((v) => +v.toFixed(4)).join() } : {}),
    ...(point ? { at: point.join() } : {}), ...(store.predicted ? { show: $("what").value, by: $("by").value } : {}) };
  history.replaceState(null, "", "#" + new URLSearchParams(state));
}
async function restore() {
  const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  zoom = { scale: 1, x: 0, y: 0 };
  $("fill").value = 0;
  if (state.show) $("what").value = state.show;
  if (state.by && state.by !== $("by").value) { $("by").value = state.by; await listCases(); }
  await openCase(state.case || listed[0], state);
}
async function begin() {
  store = await get("/api/store");
  $("order").replaceChildren(...store.orders.map((k) => make("option", k === store.order ? `${k} (the store's)` : k, { value: k })));
  $("order").value = store.order;
  offerPredictions();
  await listCases();
  await restore();
  window.onhashchange = restore;
}
