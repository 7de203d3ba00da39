"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const config = { displayModeBar: false };
  const template = {{template}};
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) if (target.offsetParent && target.clientWidth !== target.drawn) { target.drawn = target.clientWidth; Plotly.relayout(target, { width: target.clientWidth }); }
  });

  // A chart is drawn when it comes into sight, so that a page of many runs opens at once.
  const draw = (host) => { const { data, layout } = charts[host.dataset.key]; host.drawn = host.clientWidth; Plotly.react(host, data, { ...layout, template, autosize: true }, config); sizes.observe(host); };
  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) { watcher.unobserve(target); draw(target); }
  }, { rootMargin: "400px" });
  for (const host of document.querySelectorAll(".chart")) watcher.observe(host);
  addEventListener("beforeprint", () => document.querySelectorAll(".chart").forEach((host) => host.offsetParent && draw(host)));

  for (const choice of document.querySelectorAll("select[data-chart]")) {
    choice.addEventListener("change", () => {
      const host = document.getElementById(choice.dataset.chart);
      host.dataset.key = choice.value;
      draw(host);
    });
  }

  const run = document.getElementById("run");
  const show = () => document.querySelectorAll(".run").forEach((part) => { part.hidden = part.id !== run.value; });
  run.addEventListener("change", show);
  show();

  const value = (row, column) => {
    const text = row.cells[column].textContent, number = parseFloat(text.replaceAll(",", ""));
    return text === "–" ? null : Number.isNaN(number) || column === 0 ? text.toLowerCase() : number;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const sort = () => {
        const down = head.ariaSort ? head.ariaSort === "ascending" : column > 0;
        heads.forEach((other) => (other.ariaSort = null));
        head.ariaSort = down ? "descending" : "ascending";
        const rank = (one, other) => {
          const [a, b] = [value(one, column), value(other, column)];
          if (a === null || b === null) return (a === null) - (b === null); // undefined figures last
          return (down ? -1 : 1) * (a < b ? -1 : a > b ? 1 : 0);
        };
        body.replaceChildren(...[...body.rows].sort(rank));
      };
      head.tabIndex = 0;
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); } });
    });
    const find = table.closest(".run").querySelector("input[type=search]");
    find.addEventListener("input", () => {
      const words = find.value.trim().toLowerCase();
      for (const row of body.rows) row.hidden = !(row.cells[0].textContent + " " + row.cells[row.cells.length - 1].textContent).toLowerCase().includes(words);
    });
  }
})();
