// What the lines of the chart are made of: the points of each series that is chosen, those of an earlier time beside them, and its trend.
const LINES_MAX = 6, HOUR = 3600e3, RANGES = { "1h": 1, "24h": 24, "7d": 168, "30d": 720, "365d": 8760 };
const BEFORE = { "1d": [24, "a day before"], "7d": [168, "a week before"] };
const STATISTICS = [["avg", "mean"], ["p50", "p50"], ["p95", "p95"], ["p99", "p99"], ["min", "minimum"], ["max", "maximum"]];
const FORECAST_MAX = 1440, HISTORY_BUCKETS = 4900, HISTORY_MAX = 28 * 24 * HOUR;
const LEVEL_UNITS = { s: 1e3, m: 60e3, h: HOUR, d: 24 * HOUR };
const widthOf = resolution => { const m = /^(\d+)([smhd])$/.exec(resolution); return m ? m[1] * LEVEL_UNITS[m[2]] : 0; };

// The series that stay in the chart while another is chosen, as the form has them, and that other.
function keptLines() {
  try { return JSON.parse($("series").elements.with.value || "[]").filter(s => Array.isArray(s) && s.length === 4).map(s => JSON.stringify(s)); } catch { return []; }
}
function keepLines(values) { $("series").elements.with.value = values.length ? `[${values.join(",")}]` : ""; }
function chosenLines() {
  const now = $("series").elements.series.value;
  return [...new Set([...keptLines(), ...(now ? [now] : [])])].slice(0, LINES_MAX);
}
// Which time, as the server is asked, and so many hours earlier. A time that was chosen in the chart is absolute.
function timesAsked(hoursBefore = 0) {
  const form = $("series").elements, earlier = iso => new Date(Date.parse(iso) - hoursBefore * HOUR).toISOString();
  if (form.from.value && form.to.value) return { from: earlier(form.from.value), to: earlier(form.to.value) };
  return { from: `-${RANGES[form.range.value] + hoursBefore}h`, ...(hoursBefore && { to: `-${hoursBefore}h` }) };
}
const seriesParams = (value, more) => {
  const [metric_name, asset_id, metric_type, series_id] = JSON.parse(value);
  return new URLSearchParams({ metric_name, asset_id, metric_type, series_id, ...more });
};
const numberOf = v => v == null ? null : Number(v.text);
async function pointsOf(value, more, later = 0) {
  const page = await api(`/v1/metrics?${seriesParams(value, { ...more, limit: 2000 })}`);
  const points = page.get("data").map(p => ({ at: Date.parse(p.get("bucket")) + later, count: numberOf(p.get("count")), ...Object.fromEntries(STATISTICS.map(([name]) => [name, numberOf(p.get(name))])) })).reverse();
  return { points, resolution: page.get("resolution") };
}
// Lines that are drawn in: each gives points with a time and a value, perhaps between a lower and an upper one, and what is said of it.
const DRAWN_IN = {
  async trend(value, resolution) {
    const trend = await api(`/v1/metrics/trend?${seriesParams(value, { ...timesAsked(), resolution })}`);
    const [start, end, slope, lower, upper] = ["level_start", "level_end", "slope_per_day", "slope_lower", "slope_upper"].map(f => numberOf(trend.get(f)));
    return {
      points: start === null || end === null ? [] : [["from", start], ["to", end]].map(([f, level]) => ({ at: Date.parse(trend.get(f)), value: level })),
      says: slope === null ? "no slope" : `${figure(slope)} a day${lower === null || upper === null ? "" : ` (95 %: ${figure(lower)} to ${figure(upper)})`}`,
    };
  },
  // A quarter of the time that is shown, ahead; of no more history than the server takes.
  async forecast(value, resolution) {
    const width = widthOf(resolution), shown = RANGES[$("series").elements.range.value] * HOUR, { to } = timesAsked(), end = to ? Date.parse(to) : Date.now();
    const ahead = Math.min(FORECAST_MAX, Math.max(1, Math.floor(shown / 4 / width))), past = Math.min(HISTORY_MAX, HISTORY_BUCKETS * width);
    const forecast = await api(`/v1/metrics/forecast?${seriesParams(value, { resolution, from: instant(end - past), to: instant(end), horizon: `${ahead * width / 60e3}m` })}`);
    const points = forecast.get("forecast").map(p => ({ at: Date.parse(p.get("bucket")), ...Object.fromEntries(["value", "lower", "upper"].map(f => [f, numberOf(p.get(f))])) })), last = points.at(-1);
    const method = { smoothing: "smoothing", seasonal_naive: "as a season ago", naive: "as it is now: nothing better was nearer before" }[forecast.get("method")];
    return { points, says: last ? `${figure(last.value)} (95 %: ${figure(last.lower)} to ${figure(last.upper)}) at ${when(instant(last.at)).slice(0, 16)}; ${method}` : "nothing" };
  },
};
// One line with all that belongs to it. What cannot be drawn in beside it does not take the line away.
async function lineOf(value) {
  const form = $("series").elements, { points, resolution } = await pointsOf(value, timesAsked());
  const line = { value, name: seriesNames.get(value) ?? seriesLabel(JSON.parse(value).slice(0, 3)), unit: JSON.parse(value)[0], points, resolution, width: widthOf(resolution), before: [], drawn: null, problem: "" };
  const before = BEFORE[form.compare.value], draw = DRAWN_IN[form.draw.value];
  try {
    if (before) line.before = (await pointsOf(value, { ...timesAsked(before[0]), resolution }, before[0] * HOUR)).points;
    if (draw && points.length) line.drawn = await draw(value, resolution);
  } catch (error) { line.problem = error.message; }
  return line;
}
// Where a line is broken: a bucket is missing that, going by the others, would be there.
function withGaps(line, points, names) {
  const steps = points.slice(1).map((p, n) => p.at - points[n].at).sort((a, b) => a - b), most = 3 * Math.max(line.width, steps[steps.length >> 1] ?? 0);
  const table = [[], ...names.map(() => [])], add = (at, of) => { table[0].push(at / 1e3); names.forEach((name, n) => table[n + 1].push(of(name))); };
  points.forEach((p, n) => {
    if (n && p.at - points[n - 1].at > most) add(points[n - 1].at + 1, () => null);
    add(p.at, name => p[name]);
  });
  return table;
}
// The bucket of a line that a time is in.
const bucketAt = (points, width, at) => { const p = points.findLast(p => p.at <= at); return p && at < p.at + Math.max(width, 1) ? p : null; };
