"use strict";
// Long tables are sorted by a click on a column's head, and searched by a field above them.
for (const table of document.querySelectorAll("table[data-searched]")) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[table.tHead.rows.length - 1].cells);
  const text = (row, column) => row.cells[column].textContent.trim();
  const number = (row, column) => parseFloat(text(row, column).replace(/[,\s]/g, ""));
  const byNumber = (column, sign) => (one, other) => {
    const [mine, theirs] = [number(one, column), number(other, column)];
    if (isNaN(mine) || isNaN(theirs)) return isNaN(mine) - isNaN(theirs);
    return sign * (mine - theirs);
  };
  const byText = (column, sign) => (one, other) => sign * text(one, column).localeCompare(text(other, column));
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      rows.sort((head.classList.contains("number") ? byNumber : byText)(column, sign));
      body.append(...rows);
    });
  });
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = "Search " + table.dataset.searched;
  search.setAttribute("aria-label", search.placeholder);
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  table.before(search);
}
