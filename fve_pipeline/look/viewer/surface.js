// The slice at any size, what covers it, the planes through a point of it, and where classes occur.
const size = () => store.settings.size;
const inside = (value) => Math.max(0, Math.min(size() - 1, Math.floor(value)));

function showFill() {
  const opacity = +$("fill").value / 100;
  let cover = document.querySelector("#inner .fill");
  if (!opacity) { cover?.remove(); return; }
  if (!cover) {
    cover = make("img", "", { className: "fill", alt: "", draggable: false });
    $("outlines").after(cover);
  }
  cover.style.opacity = opacity;
  cover.src = address("/fill.png", { row, ...chosen() });
}
function placeInner() {
  $("inner").style.transform = `translate(${zoom.x * 100}%, ${zoom.y * 100}%) scale(${zoom.scale})`;
}
function moveTo(x, y, scale = zoom.scale) {
  const kept = (value) => Math.min(0, Math.max(1 - scale, value));
  zoom = { scale, x: kept(x), y: kept(y) };
  placeInner();
  keep();
}
function zoomBy(factor, x = .5, y = .5) {
  const scale = Math.min(32, Math.max(1, zoom.scale * factor)), change = scale / zoom.scale;
  moveTo(x - (x - zoom.x) * change, y - (y - zoom.y) * change, scale);
}
function showPlanes() {
  const [x, y] = point || [size() >> 1, size() >> 1], one = run();
  $("cross").setAttribute("d", point ? `M0 ${(y + .5) / size()}H1M${(x + .5) / size()} 0V1` : "");
  [["y", y, x, "through the line"], ["x", x, y, "through the column"]].forEach(([across, at, other, told], i) => {
    if (!$("planes").children[i]) $("planes").append(newPlane(i));
    const [box, caption] = $("planes").children[i].children, [image, lines] = box.children;
    const source = address("/plane.png", { row: one.start, across, at });
    if (image.getAttribute("src") !== source) image.src = source;
    image.alt = caption.textContent = `${told} ${across} = ${at} of every slice`;
    const height = 1 - (+$("slider").value + .5) / one.count;
    lines.firstChild.setAttribute("d", `M0 ${height}H1M${(other + .5) / size()} 0V1`);
  });
}
function newPlane(i) {
  const figure = make("figure"), box = make("div", "", { className: "plane" });
  box.innerHTML = '<img alt="" draggable="false"><svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">'
    + '<path fill="none" vector-effect="non-scaling-stroke"/></svg>';
  box.onclick = (event) => {
    const place = box.getBoundingClientRect();
    point = point || [size() >> 1, size() >> 1];
    point[i] = inside((event.clientX - place.x) / place.width * size());
    $("slider").value = Math.floor((1 - (event.clientY - place.y) / place.height) * run().count);
    show();
  };
  figure.append(box, make("figcaption"));
  return figure;
}
function drawMarks() {
  const shown = marks.filter((mark) => only === null || mark.id === only).slice(0, 12);
  const canvas = $("marks"), entries = new Map(found.classes.map((entry) => [entry.id, entry]));
  canvas.width = run().count;
  canvas.height = Math.max(1, shown.length);
  canvas.style.height = `${5 * canvas.height}px`;
  const pen = canvas.getContext("2d");
  shown.forEach((mark, line) => {
    pen.fillStyle = `rgb(${entries.get(mark.id).colour || [128, 128, 128]})`;
    for (const slice of mark.slices) pen.fillRect(slice, line, 1, 1);
  });
}

const stage = $("stage");
const within = (event) => {
  const box = stage.getBoundingClientRect();
  return [(event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height];
};
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey) zoomBy(event.deltaY < 0 ? 1.25 : .8, ...within(event));
  else move(Math.sign(event.deltaY));
}, { passive: false });
let held = null;
stage.onpointerdown = (event) => {
  held = { from: within(event), zoom, moved: false };
  stage.setPointerCapture(event.pointerId);
};
stage.onpointermove = (event) => {
  if (!held) return;
  const [dx, dy] = within(event).map((v, i) => v - held.from[i]);
  held.moved ||= Math.hypot(dx, dy) > .01;
  if (held.moved) moveTo(held.zoom.x + dx, held.zoom.y + dy);
};
stage.onpointerup = (event) => {
  if (held && !held.moved) {
    const [x, y] = within(event);
    point = [(x - zoom.x) / zoom.scale, (y - zoom.y) / zoom.scale].map((v) => inside(v * size()));
    showPlanes();
    keep();
  }
  held = null;
};
stage.ondblclick = $("whole").onclick = () => moveTo(0, 0, 1);
$("fill").oninput = () => { showFill(); keep(); };
$("marks").onclick = (event) => {
  event.preventDefault();
  $("slider").value = Math.floor(event.offsetX / $("marks").clientWidth * run().count);
  show();
};
