// The chart, by uPlot: for each series its mean, what lies between its percentiles and its extremes, an earlier time, a trend or a forecast.
const figure = v => v === null || v === undefined ? "–" : Number(v.toPrecision(5)).toString();
const themeColour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const ofLineColour = n => themeColour(`line-${n + 1}`);
const DARK = matchMedia("(prefers-color-scheme: dark)"), CHART_HEIGHT = 280;
const chart = { turn: 0, plot: null, lines: [], anomalies: [], places: [], at: -1, from: 0, to: 0, anchor: null };

const scaleOf = line => chart.scales.indexOf(line.unit) > 0 ? `y${chart.scales.indexOf(line.unit)}` : "y";
// Which columns there are, and which of them are the edges of what is filled.
function columnsOf(line, n) {
  const all = $("series").elements.bands.value === "all", c = ofLineColour(n), scale = scaleOf(line);
  const own = (props) => ({ scale, stroke: c, width: 1, points: { show: false }, ...props });
  const tables = [withGaps(line, line.points, all ? STATISTICS.map(([name]) => name) : ["avg"])];
  const series = [own({ width: 2, points: { fill: c } })], bands = [];
  if (all) {
    // The extremes are edges of a band and no lines, and so is everything where lines would lie upon each other.
    const line = dash => own(chart.wide ? { dash } : { width: 0 });
    series.push(line([1, 3]), line([5, 3]), line([8, 3, 2, 3]), own({ width: 0 }), own({ width: 0 }));
    bands.push({ series: [5, 4], fill: `${c}1a` }, { series: [2, 1], fill: `${c}33` }, { series: [3, 2], fill: `${c}22` });
  }
  if (line.before.length) { tables.push(withGaps(line, line.before, ["avg"])); series.push(own({ width: 1.5, dash: [3, 3], alpha: .75 })); }
  if (line.drawn?.points.length) {
    const { points } = line.drawn, names = points[0].lower === undefined ? ["value"] : ["value", "lower", "upper"], first = series.length;
    tables.push([points.map(p => p.at / 1e3), ...names.map(name => points.map(p => p[name]))]);
    series.push(own({ width: 1.5, dash: [12, 5] }), ...names.slice(1).map(() => own({ width: 0 })));
    if (names.length > 1) bands.push({ series: [first + 2, first + 1], fill: `${c}22` });
  }
  return { tables, series, bands };
}
// Hours and minutes, and the day where another begins.
function timeTicks(u, splits, axis, space, step) {
  let day = "";
  return splits.map(s => {
    const [date, time] = when(instant(s * 1e3)).split(" "), first = date !== day;
    day = date;
    if (step >= 86400) return date.slice(step >= 86400 * 28 ? 0 : 5);
    const short = step < 60 ? time.slice(0, 8) : time.slice(0, 5);
    return first ? `${short}\n${date.slice(5)}` : short;
  });
}
function drawChart() {
  const box = $("chart"), width = box.clientWidth;
  chart.plot?.destroy(); chart.plot = null;
  if (!chart.lines.length || !width) return;
  chart.scales = [...new Set(chart.lines.map(l => l.unit))];
  const wide = chart.wide = width > 600, parts = chart.lines.map(columnsOf), series = [{}], bands = [], tables = [];
  for (const part of parts) {
    // A band's edges are counted over all lines.
    for (const band of part.bands) bands.push({ ...band, series: band.series.map(n => n + series.length) });
    series.push(...part.series); tables.push(...part.tables);
  }
  const axis = (props = {}) => ({ stroke: themeColour("soft"), font: "12px system-ui, sans-serif", grid: { stroke: themeColour("line"), width: 1 }, ticks: { stroke: themeColour("line"), width: 1 }, ...props });
  const values = (u, splits) => splits.map(v => v === null ? "" : figure(v));
  const options = {
    width, height: CHART_HEIGHT, series, bands, legend: { show: false }, padding: [10, wide ? 16 : 8, 0, 0],
    tzDate: at => local ? new Date(at * 1e3) : uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
    scales: { x: { range: () => [chart.from / 1e3, chart.to / 1e3] } },
    axes: [axis({ values: timeTicks, space: 70 }), axis({ values, size: wide ? 64 : 50 }),
      ...(chart.scales.length > 1 ? [axis({ scale: "y1", side: 1, values, size: wide ? 64 : 50, grid: { show: false } })] : [])],
    cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: (u, n) => u.series[n].width >= 2 ? 7 : 0 }, bind: { dblclick: () => () => { wholeTime(); return null; } } },
    hooks: {
      drawAxes: [drawHours], draw: [drawAnomalies],
      setCursor: [u => { if (!chart.byKeys) tellPlace(u.cursor.idx == null ? -1 : nearestPlace(u.data[0][u.cursor.idx] * 1e3), false); }],
      setSelect: [u => { if (!chart.byKeys && u.select.width > 3) lookAt(u.posToVal(u.select.left, "x") * 1e3, u.posToVal(u.select.left + u.select.width, "x") * 1e3); }],
    },
  };
  chart.plot = new uPlot(options, uPlot.join(tables), box);
  const seen = box.querySelector(".u-wrap");
  seen.setAttribute("role", "img"); seen.setAttribute("aria-label", describeChart());
}
// What somebody would see in it, in words.
function describeChart() {
  const time = at => when(instant(at)).slice(0, 16);
  return chart.lines.map(line => {
    const { name, points, before, drawn } = line, unusual = chart.anomalies.filter(a => a.line === line);
    if (!points.length) return `${name}: no sample in this time.`;
    const of = field => points.map(p => p[field]).filter(v => v !== null), lows = [...of("min"), ...of("avg")], highs = [...of("max"), ...of("avg")];
    // Not by Math.min(...): there may be more of them than a call takes.
    const low = lows.reduce((a, b) => Math.min(a, b), Infinity), high = highs.reduce((a, b) => Math.max(a, b), -Infinity);
    return `${name}: mean and percentiles from ${time(points[0].at)} to ${time(points.at(-1).at)} ${zone()}, between ${figure(low)} and ${figure(high)}; the last mean is ${figure(points.at(-1).avg)}.`
      + (before.length ? ` ${BEFORE[$("series").elements.compare.value][1].replace("a ", "A ")} the last mean was ${figure(before.at(-1).avg)}.` : "") + (drawn ? ` Its ${$("series").elements.draw.value} is ${drawn.says}.` : "")
      + (unusual.length ? ` ${manyAnomalies(unusual.length)}, the newest at ${time(unusual[0].at)}: ${anomalyText(unusual[0])}.` : "");
  }).join(" ");
}
function clearChart(text, kind) {
  chart.turn++; chart.lines = []; chart.anomalies = []; chart.places = []; drawChart();
  $("chart-box").hidden = true; note("metrics-note", text, kind); note("chart-note", "");
}
async function loadPoints() {
  const values = chosenLines(), mine = ++chart.turn;
  if (!values.length) return clearChart("");
  const found = await Promise.allSettled(values.map(lineOf));
  // What was asked for since counts.
  if (mine !== chart.turn) return;
  const lines = found.filter(f => f.status === "fulfilled").map(f => f.value), problems = [...found.filter(f => f.status === "rejected").map(f => f.reason.message), ...lines.map(l => l.problem)].filter(p => p);
  if (!lines.length) return clearChart(problems[0], "bad");
  const { from, to } = timesAsked(), newestOf = part => Math.max(...lines.map(l => part(l)?.at(-1)?.at ?? 0));
  // The server's clock may be ahead of this one; what is drawn in may go on, and takes nothing of the time that was asked for.
  const now = $("series").elements.to.value ? Date.parse(to) : Math.max(Date.now(), newestOf(l => l.points));
  const until = Math.max(now, newestOf(l => l.drawn?.points));
  const since = $("series").elements.from.value ? Date.parse(from) : now - RANGES[$("series").elements.range.value] * HOUR;
  let anomalies = [];
  try {
    const told = await anomaliesOf(lines, since, until);
    anomalies = told.found;
    if (told.isCut) problems.push("There are more anomalies in this time than are marked: choose a shorter one.");
  } catch (error) { problems.push(`Anomalies: ${error.message}`); }
  if (mine !== chart.turn) return;
  Object.assign(chart, { lines, anomalies, from: since, to: until, at: -1, anchor: null, places: [...new Set(lines.flatMap(l => l.points.map(p => p.at)))].sort((a, b) => a - b) });
  // The box has no width before it is shown.
  $("chart-box").hidden = false;
  drawChart(); tellPoint(false); listAnomalies(); note("chart-note", "");
  const levels = [...new Set(lines.filter(l => l.points.length).map(l => l.resolution))], buckets = lines.reduce((n, l) => n + l.points.length, 0);
  const shownTime = $("series").elements.from.value ? ` From ${when(instant(chart.from)).slice(0, 16)} to ${when(instant(chart.to)).slice(0, 16)} (${zone()}).` : "";
  const dashes = [...(lines.some(l => l.before.length) ? [`Short dashes: ${BEFORE[$("series").elements.compare.value][1]}.`] : []), ...(lines.some(l => l.drawn) ? [`Long dashes: the ${$("series").elements.draw.value}.`] : []),
    ...(anomalies.length ? [`Marked: ${manyAnomalies(anomalies.length)}, listed beneath.`] : [])];
  if (problems.length) note("metrics-note", [...new Set(problems)].join(" "), "bad");
  else note("metrics-note", [(buckets ? `${several(buckets, "bucket")} of ${levels.join(" and ")}.` : "No sample in this time.") + shownTime, ...dashes].join(" "));
}
new ResizeObserver(() => {
  const width = $("chart").clientWidth;
  if (!width || !chart.lines.length) return;
  if (!chart.plot || (width > 600) !== (chart.plot.width > 600)) drawChart(); else if (width !== chart.plot.width) chart.plot.setSize({ width, height: CHART_HEIGHT });
}).observe($("chart"));
DARK.addEventListener("change", drawChart);
