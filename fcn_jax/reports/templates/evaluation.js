// The confusion matrix told cell by cell, and the order of the worst images.
"use strict";
(() => {
  const section = document.querySelector(".confusion");
  const told = section.querySelector(".told"), hint = told.textContent;
  const rows = [...section.querySelectorAll("tbody tr")]
    .map((row) => [...row.querySelectorAll("td")]);
  const names = [...section.querySelectorAll("tbody th span:last-child")]
    .map((name) => name.textContent);
  let current = rows[0][0]; // the one that Tab reaches
  current.tabIndex = 0;

  const placeOf = (cell) => [cell.parentElement.rowIndex - 1, cell.cellIndex - 1];

  function tell(cell) {
    if (!cell) {
      told.textContent = hint;
      return;
    }
    const [row, column] = placeOf(cell);
    const text = (name) => cell.querySelector(name).textContent;
    const share = text(".share");
    const of = share === "–" ? "there are none"
      : `${share.replace("<", "less than ")} % of all ${names[row]} pixels`;
    told.textContent = row === column
      ? `${names[row]} predicted rightly: ${text(".pixels")} pixels, ${of}.`
      : `${names[row]} predicted as ${names[column]}: ${text(".pixels")} pixels, ${of}.`;
  }

  function move(cell) {
    current.tabIndex = -1;
    current = cell;
    current.tabIndex = 0;
    current.focus();
  }

  const table = section.querySelector("table");
  table.addEventListener("pointerover", (event) => tell(event.target.closest("td")));
  table.addEventListener("pointerleave", () => tell(table.querySelector("td:focus")));
  table.addEventListener("focusin", (event) => tell(event.target.closest("td")));
  table.addEventListener("focusout", () => tell(null));
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("td");
    if (cell) move(cell);
  });
  table.addEventListener("keydown", (event) => {
    const steps = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
      Home: [0, -rows.length], End: [0, rows.length],
      PageUp: [-rows.length, 0], PageDown: [rows.length, 0],
    };
    const step = steps[event.key];
    const cell = event.target.closest("td");
    if (!step || !cell || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const [row, column] = placeOf(cell)
      .map((place, axis) => Math.max(0, Math.min(rows.length - 1, place + step[axis])));
    move(rows[row][column]);
  });

  const worst = document.querySelector(".worst");
  if (!worst) return;
  const articles = [...worst.querySelectorAll("article")];
  worst.querySelector("fieldset").addEventListener("change", (event) => {
    const attribute = `data-${event.target.value.replaceAll("_", "-")}`;
    const rank = (article) => Number(article.getAttribute(attribute) || Infinity);
    for (const article of [...articles].sort((a, b) => rank(a) - rank(b))) {
      article.hidden = rank(article) === Infinity;
      article.querySelector(".rank").textContent = rank(article);
      worst.append(article);
    }
  });
})();
