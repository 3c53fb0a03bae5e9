"use strict";
// Tables: a click on a head sorts, typing filters.
document.querySelectorAll(".table").forEach((box) => {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("th")];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [row.cells[column].dataset.key, row]);
      const numeric = rows.every(([value]) => value !== "" && !Number.isNaN(Number(value)));
      rows.sort(([a], [b]) => (numeric ? Number(a) - Number(b) : a.localeCompare(b)) * (down ? -1 : 1));
      body.append(...rows.map(([, row]) => row));
    });
  });
  const search = box.querySelector("input[type=search]");
  if (search) {
    search.addEventListener("input", () => {
      const wanted = search.value.toLowerCase();
      [...body.rows].forEach((row) => {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
      });
    });
  }
});
