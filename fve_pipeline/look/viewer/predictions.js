// Predictions beside the truth: what is shown, where they differ, and what to look at first.
let scores = [], arrived = null;
const dice = (value, before = "") => (value === undefined || value === null ? "" : before + value.toFixed(3));
const base = () => (store.predicted && scores.length && $("what").value === "prediction" ? "/predicted.png" : "/outlines.png");

function offerPredictions() {
  if (!store.predicted) return;
  for (const id of ["sorting", "showing"]) $(id).hidden = false;
  $("by").replaceChildren(make("option", "the store's", { value: "" }), make("option", "lowest mean Dice first", { value: "dice" }),
    ...store.classes.map((one) => make("option", `lowest Dice: ${one.name}`, { value: one.key })));
}
async function loadScores() {
  const mine = found.case;
  const answer = store.predicted ? await get("/api/scores", { case: mine }) : { classes: [] };
  if (mine !== found.case) return;
  scores = answer.classes;
  $("agreement").hidden = !store.predicted;
  $("dice").textContent = answer.problem || (scores.length ? "" : " no prediction of this case");
  showWorst();
}
const scored = () => scores.filter((one) => (only === null || one.id === only) && one.slices.length === run().count);
function sliceDice(id) {
  const one = scores.find((each) => each.id === id && each.slices.length === run().count);
  return one ? dice(one.slices[row - run().start], ", Dice ") : "";
}
// The mean over classes of each slice's Dice, the lowest first.
function worstSlices() {
  const sums = new Map();
  for (const one of scored()) one.slices.forEach((value, slice) => {
    if (value !== null) sums.set(slice, [...(sums.get(slice) || []), value]);
  });
  return [...sums].map(([slice, values]) => [values.reduce((a, b) => a + b) / values.length, slice])
    .sort(([a, i], [b, j]) => a - b || i - j);
}
function showWorst() {
  const names = new Map(found.classes.map((entry) => [entry.id, entry.name]));
  if (scores.length) $("dice").textContent = "Dice of the case: " + scores.filter((one) => only === null || one.id === only)
    .map((one) => `${names.get(one.id)} ${dice(one.dice)}`).join(", ");
  $("worst").replaceChildren(...worstSlices().slice(0, 10).map(([value, slice]) => {
    const button = make("button", `${slice}: ${dice(value)}`, { type: "button" });
    button.onclick = () => { $("slider").value = slice; show(); };
    return button;
  }));
  if ($("worst").children.length) $("worst").prepend(make("span", "Worst slices", { className: "soft" }));
}
function nextWorst() {
  const order = worstSlices().map(([, slice]) => slice);
  if (!order.length) return;
  // The worst of all first; from a slice that this came to, the next.
  arrived = order[arrived === +$("slider").value ? (order.indexOf(arrived) + 1) % order.length : 0];
  $("slider").value = arrived;
  show();
}
function showDifference() {
  let cover = document.querySelector("#inner .difference");
  if (!scores.length || $("what").value !== "differences") { cover?.remove(); return; }
  if (!cover) {
    cover = make("img", "", { className: "difference", alt: "", draggable: false });
    cover.style.opacity = .55;
    $("outlines").after(cover);
  }
  cover.src = address("/difference.png", { row, ...chosen() });
}
$("what").onchange = () => show();
$("by").onchange = () => { listCases(); keep(); };
