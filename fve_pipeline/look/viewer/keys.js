// Keys, the controls, and the beginning.
function move(by) {
  $("slider").value = +$("slider").value + by;
  show();
}
function changeOrder(by) {
  const next = store.orders.indexOf(+$("order").value) + by;
  if (next in store.orders) { $("order").value = store.orders[next]; show(); }
}
function openBeside(by) {
  const name = listed[listed.indexOf(found.case) + by];
  if (name) openCase(name);
}
const ACTIONS = {
  ArrowLeft: () => move(-1), ArrowRight: () => move(1), PageUp: () => move(-10), PageDown: () => move(10),
  Home: () => move(-1e6), End: () => move(1e6), ArrowUp: () => openBeside(-1), ArrowDown: () => openBeside(1),
  "+": () => changeOrder(1), "-": () => changeOrder(-1), z: () => zoomBy(1.5), x: () => zoomBy(1 / 1.5),
  0: () => moveTo(0, 0, 1), w: () => moveTo(zoom.x, zoom.y + .1), s: () => moveTo(zoom.x, zoom.y - .1),
  a: () => moveTo(zoom.x + .1, zoom.y), d: () => moveTo(zoom.x - .1, zoom.y), "/": () => $("words").focus(),
  n: nextWorst,
  p: () => {
    if (!store.predicted) return;
    $("what").selectedIndex = ($("what").selectedIndex + 1) % $("what").options.length;
    show();
  },
  f: () => { $("fill").value = +$("fill").value ? 0 : 40; showFill(); keep(); },
};
document.addEventListener("keydown", (event) => {
  if (!found || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|SELECT)$/.test(event.target.tagName)) return;
  const act = ACTIONS[event.key]
    || (/^[1-9]$/.test(event.key) && (() => $("classes").querySelectorAll("button")[event.key - 1]?.click()));
  if (act) { event.preventDefault(); act(); }
});
$("cases").onscroll = (event) => {
  const box = event.target;
  if (box.scrollTop + box.clientHeight > box.scrollHeight - 400) listCases(true);
};
$("slider").oninput = show;
$("run").onchange = () => openRun();
$("order").onchange = show;
let waiting;
$("words").oninput = () => { clearTimeout(waiting); waiting = setTimeout(() => listCases(), 150); };
begin().catch((error) => { $("title").textContent = error.message; });
