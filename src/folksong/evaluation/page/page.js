"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const runs = data.runs;
  // Okabe and Ito's colours, which the colour-blind tell apart; yellow is left out, it vanishes on white.
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8B5A2B", "#6A3D9A"];
  const groups = data.groups;
  const names = [...new Set(groups.map((group) => group.name))]; // a name's number tells it apart without colours
  const fronts = [...new Set(groups.map((group) => group.front_end))];
  const numberOf = (group) => names.indexOf(group.name) + 1;
  const colourOf = (group) => COLOURS[(numberOf(group) - 1) % COLOURS.length];
  const groupOf = (n) => groups.find((group) => group.runs.includes(n));
  const $ = (id) => document.getElementById(id);
  const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
  const show = (value, digits = 3) => (known(value) ? value.toFixed(digits) : "–");
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes = {}, text = null) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== null) node.textContent = text;
    return node;
  }

  // One box for all hints; marks can be reached by keyboard as well.
  const tip = $("tip");
  function hint(node, text) {
    const place = (x, y) => {
      tip.textContent = text;
      tip.style.display = "block";
      tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - tip.offsetWidth - 8)) + "px";
      tip.style.top = Math.max(4, Math.min(y + 12, innerHeight - tip.offsetHeight - 8)) + "px";
    };
    node.setAttribute("tabindex", "0");
    node.setAttribute("aria-label", text);
    node.addEventListener("pointermove", (event) => place(event.clientX, event.clientY));
    node.addEventListener("focus", () => { const box = node.getBoundingClientRect(); place(box.right, box.bottom); });
    for (const name of ["pointerleave", "blur"]) node.addEventListener(name, () => (tip.style.display = "none"));
  }

  function ticks(low, high, count) {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const found = [];
    for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step) found.push(Math.abs(t) < step * 1e-9 ? 0 : t);
    return found;
  }

  // A frame with axes; returns where values lie. Scales are linear, or logarithmic in x.
  function frame(host, { x, y, xName, yName, logX = false, height = 360 }) {
    host.replaceChildren();
    const width = Math.max(280, host.clientWidth || 700);
    const margin = { left: 52, right: 14, top: 12, bottom: 44 };
    const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "group" });
    host.append(svg);
    const tx = logX ? Math.log10 : (v) => v;
    const [x0, x1] = x.map(tx), [y0, y1] = y;
    const px = (v) => margin.left + ((tx(v) - x0) / (x1 - x0 || 1)) * (width - margin.left - margin.right);
    const py = (v) => height - margin.bottom - ((v - y0) / (y1 - y0 || 1)) * (height - margin.top - margin.bottom);
    const xTicks = logX
      ? [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].filter((v) => v >= x[0] && v <= x[1])
      : ticks(x[0], x[1], Math.max(4, Math.floor(width / 110)));
    const label = (v) => String(+v.toPrecision(6));
    for (const v of ticks(y0, y1, 6)) {
      svg.append(element("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: py(v), y2: py(v) }));
      svg.append(element("text", { x: margin.left - 7, y: py(v) + 4, "text-anchor": "end", class: "soft" }, label(v)));
    }
    for (const v of xTicks) {
      svg.append(element("line", { class: "grid", x1: px(v), x2: px(v), y1: margin.top, y2: height - margin.bottom }));
      svg.append(element("text", { x: px(v), y: height - margin.bottom + 17, "text-anchor": "middle", class: "soft" }, label(v)));
    }
    svg.append(element("line", { class: "axis", x1: margin.left, x2: width - margin.right, y1: height - margin.bottom, y2: height - margin.bottom }));
    svg.append(element("line", { class: "axis", x1: margin.left, x2: margin.left, y1: margin.top, y2: height - margin.bottom }));
    svg.append(element("text", { x: (margin.left + width - margin.right) / 2, y: height - 6, "text-anchor": "middle" }, xName));
    svg.append(element("text", { x: 0, y: 0, "text-anchor": "middle", transform: `translate(13 ${(margin.top + height - margin.bottom) / 2}) rotate(-90)` }, yName));
    return { svg, px, py, x, width, height };
  }

  function span(values, pad = 0.06) {
    const good = values.filter(known);
    if (!good.length) return [0, 1];
    const low = Math.min(...good), high = Math.max(...good), room = (high - low || Math.abs(high) || 1) * pad;
    return [low - room, high + room];
  }

  // Shape tells the front-end, number and colour the label space.
  const SHAPES = [
    (x, y, r) => element("circle", { cx: x, cy: y, r }),
    (x, y, r) => element("rect", { x: x - r * 0.9, y: y - r * 0.9, width: 1.8 * r, height: 1.8 * r }),
    (x, y, r) => element("path", { d: `M${x} ${y - r * 1.3}L${x + r * 1.2} ${y + r}L${x - r * 1.2} ${y + r}Z` }),
  ];
  function mark(group, x, y, r = 6) {
    const node = SHAPES[fronts.indexOf(group.front_end) % SHAPES.length](x, y, r);
    node.setAttribute("fill", colourOf(group));
    node.setAttribute("class", "mark");
    return node;
  }
  function numbered(svg, group, x, y, r = 9) {
    const node = mark(group, x, y, r);
    node.setAttribute("stroke", "#fff");
    svg.append(node, element("text", { x, y: y + 4, class: "inside", "text-anchor": "middle" }, String(numberOf(group))));
    return node;
  }
  function legend(host) {
    const box = document.createElement("div");
    box.className = "legend";
    const item = (draw, text) => {
      const entry = document.createElement("span"), svg = element("svg", { viewBox: "0 0 20 20" });
      draw(svg);
      entry.append(svg, document.createTextNode(text));
      box.append(entry);
    };
    for (const name of names) {
      const group = groups.find((candidate) => candidate.name === name);
      item((svg) => {
        svg.append(element("circle", { cx: 10, cy: 10, r: 9, fill: colourOf(group) }));
        svg.append(element("text", { x: 10, y: 14, class: "inside", "text-anchor": "middle" }, String(numberOf(group))));
      }, `${name} (${group.n_labels} labels)`);
    }
    if (fronts.length > 1) fronts.forEach((front, n) => item((svg) => {
      const node = SHAPES[n % SHAPES.length](10, 10, 7);
      node.setAttribute("fill", "#767676");
      svg.append(node);
    }, front));
    host.prepend(box);
  }

  function drawFrontier() {
    const key = $("frontier-y").value, kept = $("frontier-x").value;
    const ground = data.grounds.find((one) => one.key === key);
    const figure = (group, n) => {
      if (ground) return ground.groups[n].figures.macro_roc_auc;
      if (key === "lift") {
        const { value, low, high, chance, seeds } = group.figures.macro_average_precision;
        const over = (v) => (known(v) && chance ? v / chance : null);
        return { value: over(value), low: over(low), high: over(high), seeds: seeds.map(over) };
      }
      return group.figures[key];
    };
    const points = groups.map((group, n) => ({ group, share: group.coverage && group.coverage[kept], y: figure(group, n) })).filter((p) => known(p.share) && p.y && known(p.y.value));
    const host = $("frontier");
    if (!points.length) return host.replaceChildren("Not known for these runs.");
    const x = span(points.map((p) => p.share), 0.12);
    const f = frame(host, {
      x: [Math.max(0, x[0]), Math.min(1.03, x[1])], y: span(points.flatMap((p) => [p.y.low, p.y.high, p.y.value]), 0.06), height: 420,
      xName: kept === "counts" ? "share of all tag counts kept" : "share of all tracks kept",
      yName: $("frontier-y").selectedOptions[0].textContent,
    });
    // Points with nearly the same share stand side by side, so that all their intervals can be seen.
    const gap = Math.min(15, f.width / 45), clusters = []; // on a phone marks may overlap, their lines do not
    for (const point of [...points].sort((a, b) => a.share - b.share)) {
      let next = { members: [point], middle: f.px(point.share) };
      for (let last; (last = clusters.at(-1)) && next.middle - last.middle < (gap * (last.members.length + next.members.length)) / 2; clusters.pop()) {
        const members = [...last.members, ...next.members];
        next = { members, middle: members.reduce((sum, p) => sum + f.px(p.share), 0) / members.length };
      }
      clusters.push(next);
    }
    for (const { members, middle } of clusters) members.forEach((point, n) => (point.left = Math.max(f.px(f.x[0]) + 4, middle + (n - (members.length - 1) / 2) * gap)));
    for (const { group, y, left } of points)
      f.svg.append(element("line", { x1: left, x2: left, y1: f.py(y.low ?? y.value), y2: f.py(y.high ?? y.value), stroke: colourOf(group), "stroke-width": 2, opacity: 0.55 }));
    for (const { group, share, y, left } of points) {
      const own = y.seeds.length > 1 ? `\nseeds ${group.seeds.join(", ")}: ${y.seeds.map((v) => show(v)).join(", ")}` : "";
      hint(numbered(f.svg, group, left, f.py(y.value), f.width < 500 ? 8 : 9), `${group.name}, ${group.front_end}\n${group.built}\nkept: ${show(share)}\n${show(y.value)} (${show(y.low)} to ${show(y.high)})${own}`);
    }
    legend(host);
  }

  const CURVES = { loss: "training loss", validation_loss: "validation loss", macro_pr_auc: "validation PR-AUC, macro", micro_pr_auc: "validation PR-AUC, micro", macro_roc_auc: "validation ROC-AUC, macro", micro_roc_auc: "validation ROC-AUC, micro", learning_rate: "learning rate" };
  const DASHES = ["", "6 3", "2 3"];
  function drawCurves() {
    const key = $("curves-y").value, host = $("curves");
    const rows = runs.flatMap((run) => run.curves).filter((row) => known(row[key]));
    if (!rows.length) return host.replaceChildren("No curve was kept.");
    const f = frame(host, { x: [1, Math.max(2, ...rows.map((row) => row.epoch))], y: span(rows.map((row) => row[key])), xName: "epoch", yName: CURVES[key], height: 300 });
    for (const [n, run] of runs.entries()) {
      const group = groupOf(n), line = run.curves.filter((row) => known(row[key]));
      if (!line.length) continue;
      const path = line.map((row, n) => `${n ? "L" : "M"}${f.px(row.epoch)} ${f.py(row[key])}`).join("");
      f.svg.append(element("path", { d: path, fill: "none", stroke: colourOf(group), "stroke-width": 1.5, "stroke-dasharray": DASHES[fronts.indexOf(run.front_end) % DASHES.length] }));
      for (const row of line) {
        const best = row.best && !line.some((later) => later.best && later.epoch > row.epoch);
        const node = best ? numbered(f.svg, group, f.px(row.epoch), f.py(row[key]), 8) : mark(group, f.px(row.epoch), f.py(row[key]), 2);
        if (!best) f.svg.append(node);
        hint(node, `${run.name}, epoch ${row.epoch}\n${CURVES[key]} ${show(row[key], 4)}`);
      }
    }
    legend(host);
  }

  const current = () => runs[+$("run").value];
  const defined = (run) => run.labels.filter((label) => known(label.roc_auc.value));

  function drawPrevalence() {
    const run = current(), key = $("prevalence-y").value, labels = defined(run), host = $("prevalence");
    if (!labels.length) return host.replaceChildren("No label has both positive and negative tracks.");
    const shares = labels.map((label) => label.tracks / run.n_tracks);
    const x = [Math.min(...shares) / 1.3, Math.min(1, Math.max(...shares) * 1.3)];
    const f = frame(host, { x, y: [Math.min(key === "roc_auc" ? 0.45 : 0, ...labels.map((label) => label[key].low ?? 1)), 1.02], xName: "share of tracks that carry the label", yName: key === "roc_auc" ? "ROC-AUC" : "PR-AUC", logX: true });
    const chance = key === "roc_auc" ? () => 0.5 : (v) => v;
    const steps = Array.from({ length: 60 }, (_, n) => x[0] * (x[1] / x[0]) ** (n / 59));
    f.svg.append(element("path", { d: steps.map((v, n) => `${n ? "L" : "M"}${f.px(v)} ${f.py(chance(v))}`).join(""), fill: "none", stroke: "#767676", "stroke-dasharray": "5 4" }));
    for (const label of labels) {
      const share = label.tracks / run.n_tracks, figure = label[key];
      if (known(figure.low)) f.svg.append(element("line", { x1: f.px(share), x2: f.px(share), y1: f.py(figure.low), y2: f.py(figure.high), stroke: COLOURS[0], opacity: 0.3, "stroke-width": 1.5 }));
      const node = element("circle", { cx: f.px(share), cy: f.py(figure.value), r: 4, fill: COLOURS[0], class: "mark" });
      hint(node, `${label.name}\n${label.tracks} tracks\n${show(figure.value)} (${show(figure.low)} to ${show(figure.high)})`);
      f.svg.append(node);
    }
  }

  function cell(row, content, number = false) {
    const td = document.createElement("td");
    if (number) td.className = "number";
    if (content instanceof Node) td.append(content); else td.textContent = content;
    row.append(td);
  }
  function figureCell(row, figure) {
    const holder = document.createElement("span"), small = document.createElement("small");
    holder.append(show(figure.value) + " ");
    small.textContent = known(figure.low) ? `${show(figure.low)} to ${show(figure.high)}` : "";
    holder.append(small);
    cell(row, holder, true);
  }

  const COLUMNS = [
    ["label", (label) => label.name.toLowerCase()], ["tracks", (label) => label.tracks], ["ROC-AUC", (label) => label.roc_auc.value],
    ["PR-AUC", (label) => label.pr_auc.value], ["chance", (label) => label.pr_auc.chance], ["lift", (label) => label.pr_auc.lift],
    ["F1", (label) => label.f1], ["threshold", (label) => label.threshold], ["tags", (label) => label.n_tags],
  ];
  let sorted = { column: 2, down: true };
  function drawLabels() {
    const run = current(), table = $("labels"), words = $("find").value.trim().toLowerCase();
    const head = document.createElement("tr");
    COLUMNS.forEach(([name], number) => {
      const th = document.createElement("th"), chosen = number === sorted.column;
      th.textContent = name + (chosen ? (sorted.down ? " ▼" : " ▲") : "");
      th.className = "sortable" + (number && number < 8 ? " number" : "");
      th.tabIndex = 0;
      th.setAttribute("aria-sort", chosen ? (sorted.down ? "descending" : "ascending") : "none");
      const sort = () => { sorted = { column: number, down: chosen ? !sorted.down : number !== 0 }; drawLabels(); };
      th.addEventListener("click", sort);
      th.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); } });
      head.append(th);
    });
    const key = COLUMNS[sorted.column][1], sign = sorted.down ? -1 : 1;
    const rank = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null); // undefined figures last
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    };
    const rows = run.labels.filter((label) => !words || [label.name, ...label.tags].some((tag) => tag.toLowerCase().includes(words))).sort(rank);
    table.replaceChildren(head, ...rows.map((label) => {
      const row = document.createElement("tr");
      cell(row, label.name);
      cell(row, label.tracks.toLocaleString("en"), true);
      figureCell(row, label.roc_auc);
      figureCell(row, label.pr_auc);
      cell(row, show(label.pr_auc.chance), true);
      cell(row, show(label.pr_auc.lift, 1), true);
      cell(row, show(label.f1), true);
      cell(row, show(label.threshold), true);
      cell(row, label.tags.join(", ") + (label.n_tags > label.tags.length ? `, … (${label.n_tags})` : ""));
      return row;
    }));
  }

  function fill(table, headings, rows) {
    const head = document.createElement("tr");
    for (const heading of headings) {
      const th = document.createElement("th");
      th.textContent = heading;
      head.append(th);
    }
    table.replaceChildren(head, ...rows.map((values) => {
      const row = document.createElement("tr");
      values.forEach((value) => cell(row, value));
      return row;
    }));
  }

  function drawWorst() {
    const worst = defined(current()).filter((label) => label.tracks >= 3).sort((a, b) => a.roc_auc.value - b.roc_auc.value).slice(0, 10);
    fill($("worst"), ["label", "ROC-AUC", "tags", "missed", "mistaken for it"], worst.map((label) => [label.name, show(label.roc_auc.value), label.tags.join(", "), label.missed.join(", "), label.mistaken.join(", ")]));
  }

  // Cividis, which is even in lightness and the same for the colour-blind.
  const CIVIDIS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
  function colour(value) {
    const place = value * (CIVIDIS.length - 1), n = Math.min(Math.floor(place), CIVIDIS.length - 2), part = place - n;
    return CIVIDIS[n].map((from, k) => from + (CIVIDIS[n + 1][k] - from) * part);
  }
  function heatMap(values, n, names, caption, words) {
    const figure = document.createElement("figure"), canvas = document.createElement("canvas"), text = document.createElement("figcaption");
    canvas.width = canvas.height = n;
    const context = canvas.getContext("2d"), image = context.createImageData(n, n);
    for (let k = 0; k < n * n; k++) {
      const [r, g, b] = colour(Math.sqrt(values[k] / 255)); // the root shows small shares too
      image.data.set([r, g, b, 255], 4 * k);
    }
    context.putImageData(image, 0, 0);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", caption);
    text.textContent = caption + "; blue 0, yellow 1.";
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      const column = Math.min(n - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * n)));
      const row = Math.min(n - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * n)));
      tip.textContent = words(names[row], names[column], (values[row * n + column] / 255).toFixed(2));
      tip.style.display = "block";
      tip.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8)) + "px";
      tip.style.top = Math.max(4, Math.min(event.clientY + 12, innerHeight - tip.offsetHeight - 8)) + "px";
    };
    canvas.addEventListener("pointermove", place);
    canvas.addEventListener("pointerdown", place);
    canvas.addEventListener("pointerleave", () => (tip.style.display = "none"));
    figure.append(canvas, text);
    return figure;
  }
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  function drawMaps() {
    const run = current(), host = $("maps");
    if (!run.heat_maps) return host.replaceChildren("Too many labels for a heat-map.");
    const names = run.labels.map((label) => label.name), n = run.heat_maps.n;
    host.replaceChildren(
      heatMap(bytes(run.heat_maps.together), n, names, "Share of the row label's tracks that carry the column label", (a, b, v) => `${v} of the tracks with “${a}” carry “${b}”`),
      heatMap(bytes(run.heat_maps.heard), n, names, "Mean score of the column label on tracks of the row label", (a, b, v) => a === b ? `“${a}” scores ${v} on its own tracks` : `“${b}” scores ${v} on tracks with “${a}” but without “${b}”`),
    );
  }

  function drawCalibration() {
    const run = current(), bins = run.calibration.bins.filter((bin) => bin.pairs), host = $("calibration");
    const f = frame(host, { x: [0, 1], y: [0, 1], xName: "mean score", yName: "share with the label", height: 340 });
    f.svg.append(element("line", { x1: f.px(0), y1: f.py(0), x2: f.px(1), y2: f.py(1), stroke: "#767676", "stroke-dasharray": "5 4" }));
    f.svg.append(element("path", { d: bins.map((bin, n) => `${n ? "L" : "M"}${f.px(bin.mean_score)} ${f.py(bin.share_positive)}`).join(""), fill: "none", stroke: COLOURS[1], "stroke-width": 1.5 }));
    const most = Math.log(1 + Math.max(...bins.map((bin) => bin.pairs)));
    for (const bin of bins) {
      const node = element("circle", { cx: f.px(bin.mean_score), cy: f.py(bin.share_positive), r: 2.5 + (5 * Math.log(1 + bin.pairs)) / most, fill: COLOURS[1], class: "mark" });
      hint(node, `scores of about ${show(bin.mean_score, 2)}: ${show(bin.share_positive, 2)} carry the label\n${bin.pairs.toLocaleString("en")} pairs`);
      f.svg.append(node);
    }
    f.svg.append(element("text", { x: f.px(0.03), y: f.py(0.95) }, `expected calibration error ${show(run.calibration.expected_error)}`));
  }

  function drawDoubts() {
    for (const kind of ["missing", "wrong"]) {
      fill($(kind), ["track", "label", "score", "distance"], current().doubts[kind].map((pair) => [pair.track, pair.label, show(pair.score, 2), show(pair.distance, 1)]));
    }
  }

  function drawRun() {
    $("run-name").textContent = current().name;
    drawPrevalence();
    drawLabels();
    drawWorst();
    drawMaps();
    drawCalibration();
    drawDoubts();
  }
  runs.forEach((run, n) => $("run").append(new Option(`${run.name} (${run.space}, ${run.front_end})`, n)));
  for (const [key, name] of Object.entries(CURVES)) if (runs.some((run) => run.curves.some((row) => known(row[key])))) $("curves-y").append(new Option(name, key));
  $("curves-y").value = "macro_pr_auc";
  for (const key of ["labels", "common", "all"]) if (!data.grounds.some((one) => one.key === key)) $("frontier-y").querySelector(`[value=${key}]`).remove();
  if (!groups.some((group) => group.coverage)) $("frontier-section").remove(); else for (const id of ["frontier-x", "frontier-y"]) $(id).addEventListener("change", drawFrontier);
  if (!runs.some((run) => run.curves.length)) $("curves-section").remove(); else $("curves-y").addEventListener("change", drawCurves);
  $("run").addEventListener("change", drawRun);
  $("prevalence-y").addEventListener("change", drawPrevalence);
  $("find").addEventListener("input", drawLabels);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
  function redraw() {
    if ($("frontier")) drawFrontier();
    if ($("curves")) drawCurves();
    drawPrevalence();
    drawCalibration();
  }
  redraw();
  drawRun();
})();
