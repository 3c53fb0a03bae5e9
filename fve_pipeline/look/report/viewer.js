"use strict";
const runs = JSON.parse(document.getElementById("runs").textContent);
const byId = (id) => document.getElementById(id);
const side = 256;

// The viewer: one picture a run, a row a slice; outlines are drawn over the focal slice.
const canvas = byId("picture");
const context = canvas.getContext("2d");
const hidden = new Set(); // "dataset/class id", kept while cases change
let shown = null; // the run, with its picture once that is decoded

function describe(run) {
  return `${run.case}, ${run.rendition}, ${run.view}`;
}

function key(run, place) {
  return `${run.dataset}/${run.classes[place].id}`;
}

function draw() {
  if (!shown || !shown.image.complete) return;
  const at = Number(byId("slice").value);
  const scale = 2;
  canvas.width = 3 * side * scale;
  canvas.height = shown.height * scale;
  context.imageSmoothingEnabled = true;
  context.drawImage(
    shown.image, 0, at * shown.height, 3 * side, shown.height, 0, 0, canvas.width, canvas.height,
  );
  context.save();
  context.scale(scale, scale);
  const seen = [];
  shown.classes.forEach((found, place) => {
    const path = shown.paths[at][place];
    if (!path) return;
    seen.push(found.name);
    if (hidden.has(key(shown, place))) return;
    context.strokeStyle = found.colour;
    context.lineWidth = 1.2;
    // Dashes and numbers tell classes apart without colour.
    context.setLineDash([[], [5, 2], [2, 2], [7, 2, 2, 2]][place % 4]);
    context.stroke(new Path2D(path));
    const [x, y] = path.slice(1).split("L")[0].split(" ").map(Number);
    context.font = "9px sans-serif";
    context.lineWidth = 2.5;
    context.setLineDash([]);
    context.strokeStyle = "#000";
    context.strokeText(found.id, x + 2, y + 8);
    context.fillStyle = "#fff";
    context.fillText(found.id, x + 2, y + 8);
  });
  context.restore();
  const text = `slice ${shown.places[at]} of 0 to ${shown.length - 1}, at ${shown.mm[at]} mm; `
    + (seen.length ? seen.join(", ") : "nothing labelled");
  byId("where").textContent = text;
  canvas.setAttribute("aria-label", `${describe(shown)}: ${text}`);
}

// A class that is made of others would hide their outlines: it starts out unticked.
new Set(runs.flatMap((run) => run.classes.map((found, place) => (found.union ? key(run, place) : ""))))
  .forEach((name) => hidden.add(name));

function legend() {
  const box = byId("legend");
  box.querySelectorAll("label").forEach((label) => label.remove());
  shown.classes.forEach((found, place) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "checkbox";
    input.checked = !hidden.has(key(shown, place));
    input.addEventListener("change", () => {
      if (input.checked) hidden.delete(key(shown, place));
      else hidden.add(key(shown, place));
      draw();
    });
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = found.colour;
    label.append(input, " ", swatch, `${found.id} ${found.name}`);
    box.append(label);
  });
}

function show(number) {
  const run = runs[number];
  byId("run").value = String(number);
  const slider = byId("slice");
  slider.max = String(run.places.length - 1);
  slider.value = String(Math.floor(run.places.length / 2));
  const image = new Image();
  shown = { ...run, image };
  legend();
  image.addEventListener("load", draw);
  image.src = run.picture;
}

function step(by) {
  show((Number(byId("run").value) + by + runs.length) % runs.length);
}

if (runs.length) {
  const select = byId("run");
  let group = null;
  runs.forEach((run, number) => {
    if (!group || group.label !== run.dataset) {
      group = document.createElement("optgroup");
      group.label = run.dataset;
      select.append(group);
    }
    const option = document.createElement("option");
    option.value = String(number);
    option.textContent = describe(run);
    group.append(option);
  });
  select.addEventListener("change", () => show(Number(select.value)));
  byId("slice").addEventListener("input", draw);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  show(0);
} else {
  byId("where").textContent = "The store has no slices.";
}
