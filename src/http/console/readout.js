// The chart by its values: at the place that is pointed at, or that arrows went to; and which time is looked at.
const SPAN_MIN = 3 * 60e3;
const nearestPlace = at => chart.places.reduce((best, p, n) => best < 0 || Math.abs(p - at) < Math.abs(chart.places[best] - at) ? n : best, -1);
function tellPlace(n, says) { if (chart.at !== n || says) { chart.at = n; tellPoint(says); } }
// Without a place it is the newest bucket of each. `says`: aloud, for who cannot see where the pointer is.
function tellPoint(says) {
  const at = chart.places[chart.at], compare = BEFORE[$("series").elements.compare.value], draw = $("series").elements.draw.value, isDrawn = chart.lines.some(l => l.drawn), heads = ["Series", ...STATISTICS.map(([, name]) => name), "samples", ...(compare ? [compare[1]] : []), ...(isDrawn ? [draw] : []), ""];
  // Figures stand at the right; what is drawn in is told in words, and they are whole.
  const kindOfColumn = n => !n ? "" : isDrawn && n === heads.length - 2 ? "wrap" : "number";
  const rows = chart.lines.map((line, n) => {
    const p = at === undefined ? line.points.at(-1) : bucketAt(line.points, line.width, at), before = p && bucketAt(line.before, line.width, p.at);
    return { line, n, p, cells: [...STATISTICS.map(([name]) => figure(p?.[name])), p ? count(p.count) : "–", ...(compare ? [figure(before?.avg)] : []), ...(isDrawn ? [line.drawn?.says ?? "–"] : [])] };
  });
  const moment = at ?? rows.reduce((most, r) => Math.max(most, r.p?.at ?? 0), 0), table = $("chart-values");
  $("chart-at").textContent = moment ? `${at === undefined ? "Newest" : "At"} ${when(instant(moment), 19)} (${zone()})${anomaliesAt(at).map(a => ` · anomaly of ${a.line.name}: ${anomalyText(a)}`).join("")}` : "";
  if (table.tHead.textContent !== heads.join("")) table.tHead.rows[0].replaceChildren(...heads.map((h, n) => el(h ? "th" : "td", h, { className: kindOfColumn(n) })));
  // Rows stay where they are, so that a button in one keeps the focus.
  const same = [...table.tBodies[0].rows].map(tr => tr.dataset.line).join() === rows.map(r => r.line.value).join() && table.tBodies[0].rows[0]?.cells.length === heads.length;
  if (!same) table.tBodies[0].replaceChildren(...rows.map(lineRow));
  rows.forEach(({ cells, n }) => cells.forEach((text, c) => { const td = table.tBodies[0].rows[n].cells[c + 1]; td.textContent = text; td.className = kindOfColumn(c + 1); }));
  if (says) note("chart-note", rows.map(({ line, p }) => p ? `${line.name}: ${STATISTICS.map(([name, word]) => `${word} ${figure(p[name])}`).join(", ")}` : `${line.name}: nothing`).join("; ") + `. ${$("chart-at").textContent}.`);
}
function lineRow({ line, n, cells }) {
  const tr = el("tr"), name = el("td", null, { className: "wrap" }), swatch = el("span", null, { className: "swatch" }), last = el("td");
  swatch.style.background = `var(--line-${n + 1})`;
  name.append(swatch, line.name);
  if (chart.lines.length > 1) { const button = el("button", "Remove", { type: "button", title: `Remove ${line.name} from the chart` }); button.onclick = () => removeLine(line.value); last.append(button); }
  tr.dataset.line = line.value;
  tr.append(name, ...cells.map(() => el("td")), last);
  return tr;
}
// The series that is chosen stays in the chart, and the next one that is chosen comes beside it.
function addSeries() {
  const select = $("series").elements.series, lines = chosenLines();
  if (!select.value) return;
  if (lines.length >= LINES_MAX) return note("metrics-note", `The chart takes ${LINES_MAX} series: remove one first.`, "warn");
  keepLines([...new Set([...keptLines(), select.value])]);
  seriesChosen = true; remember(); select.focus();
  note("metrics-note", "It stays in the chart: choose the next one.");
}
function removeLine(value) {
  const select = $("series").elements.series, left = chosenLines().filter(v => v !== value);
  if (select.value === value) { const next = left.at(-1); chooseSeries(next); }
  keepLines(left.filter(v => v !== select.value));
  remember(); loadPoints(); select.focus();
}
function lookAt(from, to) {
  const form = $("series").elements, middle = (from + to) / 2, half = Math.max(to - from, SPAN_MIN) / 2;
  form.from.value = new Date(Math.round(middle - half)).toISOString(); form.to.value = new Date(Math.round(middle + half)).toISOString();
  remember(); loadPoints();
}
function wholeTime() {
  const form = $("series").elements;
  if (!form.from.value) return;
  form.from.value = form.to.value = "";
  remember(); loadPoints();
}
const LOOKS = {
  closer: () => { const span = (chart.to - chart.from) / 4, at = chart.places[chart.at] ?? (chart.from + chart.to) / 2; lookAt(at - span, at + span); },
  wider: () => { const span = chart.to - chart.from, at = (chart.from + chart.to) / 2; lookAt(at - span, at + span); },
  earlier: () => { const half = (chart.to - chart.from) / 2; lookAt(chart.from - half, chart.to - half); },
  later: () => { const half = (chart.to - chart.from) / 2; lookAt(chart.from + half, chart.to + half); },
  whole: wholeTime,
};
// Arrows go from bucket to bucket, with Shift they choose a time, Enter looks at it (or closer at one bucket), Escape at all of it.
function chartKey(e) {
  const last = chart.places.length - 1, { plot } = chart, now = chart.at < 0 ? last : chart.at;
  const to = { ArrowLeft: chart.at < 0 ? last : Math.max(0, now - 1), ArrowRight: chart.at < 0 ? last : Math.min(last, now + 1), Home: 0, End: last }[e.key];
  if (last < 0 || !plot) return;
  const act = { Enter: () => { const from = chart.places[chart.anchor], at = chart.places[chart.at]; if (chart.anchor !== null && from !== at) lookAt(Math.min(from, at), Math.max(from, at)); else LOOKS.closer(); }, "+": LOOKS.closer, "=": LOOKS.closer, "-": LOOKS.wider, Escape: wholeTime }[e.key];
  if (act) { e.preventDefault(); e.stopPropagation(); return act(); }
  if (to === undefined) return;
  e.preventDefault();
  chart.anchor = e.shiftKey ? chart.anchor ?? now : null;
  const x = n => plot.valToPos(chart.places[n] / 1e3, "x"), left = chart.anchor === null ? 0 : Math.min(x(chart.anchor), x(to));
  chart.byKeys = true;
  plot.setCursor({ left: x(to), top: 1 });
  plot.setSelect({ left, width: chart.anchor === null ? 0 : Math.abs(x(chart.anchor) - x(to)), top: 0, height: chart.anchor === null ? 0 : plot.bbox.height / devicePixelRatio }, false);
  chart.byKeys = false;
  tellPlace(to, true);
}
