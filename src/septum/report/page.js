"use strict";
// Filters and sorts the objects. Without it everything is there, in the order that matters: the worst first.
(() => {
  const table = document.getElementById("objects-table");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const sparks = Array.from(document.querySelectorAll("#sparklines > li"));
  const bar = document.getElementById("objects-filter");
  const input = bar.querySelector("input");
  const told = bar.querySelector("output");
  bar.hidden = false;

  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const element of [...rows, ...sparks]) {
      const text = element.textContent.toLowerCase();
      element.hidden = !words.every((word) => text.includes(word));
      shown += !element.hidden && element.tagName === "TR";
    }
    told.textContent = words.length ? `${shown} of ${rows.length} listed` : "";
  };
  input.addEventListener("input", filter);

  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = [...rows].sort((a, b) => compare(key(a, column), key(b, column)) * (down ? -1 : 1));
      body.append(...sorted);
    });
  });
})();
