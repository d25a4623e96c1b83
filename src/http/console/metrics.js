// Metrics: a series of the catalog, and its points at the resolution that fits.
const shown = dimensions => dimensions === null ? "…" : [...dimensions].map(([k, v]) => `${k}=${plain(v)}`).join(" ");
function catalogQuery() {
  const form = $("series").elements, search = form.search.value.trim(), pairs = form.dimensions.value.split("&").filter(p => p.trim());
  // Commas separate values here as they do in the query.
  const part = ([name, ...value]) => `dim.${encodeURIComponent(name.trim())}=${value.join("=").split(",").map(encodeURIComponent).join(",")}`;
  return [`limit=${SERIES_SHOWN}`, ...(search ? [`search=${encodeURIComponent(search)}`] : []), ...pairs.map(p => part(p.split("=")))];
}
const NAMES = ["metric_name", "asset_id", "metric_type"];
const catalog = { next: null };
// Whether somebody chose the series, or it is only the first one.
let seriesChosen = false;
const seriesLabel = parts => parts.filter(t => t).join(" · ");
// That of a link may be further back in the catalog than what is listed.
function chooseSeries(value) {
  const select = $("series").elements.series;
  seriesChosen = true;
  if (![...select.options].some(o => o.value === value)) {
    try { select.append(el("option", seriesLabel(JSON.parse(value).slice(0, 3)), { value })); } catch { return; }
  }
  select.value = value;
}
async function loadCatalog(goesOn = false) {
  const select = $("series").elements.series, before = select.value, query = catalogQuery(), why = barred("read");
  if (!goesOn) { catalog.next = null; $("series-more").hidden = true; }
  if (why) { select.replaceChildren(); $("chart").replaceChildren(); return note("metrics-note", why); }
  try {
    const page = await api(`/v1/metrics/catalog?totals=1&${query.join("&")}${goesOn ? `&cursor=${encodeURIComponent(catalog.next)}` : ""}`), totals = page.get("totals");
    $("series-totals").textContent = `· ${count(totals.get("stored").text)} series, ${count(totals.get("active").text)} of them active in the last hour`;
    const label = s => seriesLabel([...NAMES.map(f => s.get(f)), shown(s.get("dimensions"))]);
    if (!goesOn) select.replaceChildren();
    select.append(...page.get("data").map(s => el("option", label(s), { value: JSON.stringify([...NAMES, "series_id"].map(f => s.get(f))) })));
    catalog.next = page.get("next_cursor"); $("series-more").hidden = !catalog.next;
    if ([...select.options].some(o => o.value === before)) select.value = before;
    else if (seriesChosen && before && !goesOn) chooseSeries(before);
    if (goesOn) return note("metrics-note", `${count(select.options.length)} series to choose from.`);
    if (select.options.length) return await loadPoints();
    $("chart").replaceChildren(); note("metrics-note", query.length > 1 ? "No series fits." : "No series yet.");
  } catch (error) { if (!goesOn) $("chart").replaceChildren(); note("metrics-note", error.message, "bad"); }
}
async function loadPoints() {
  const form = $("series").elements;
  if (!form.series.value) return;
  const [metric_name, asset_id, metric_type, series_id] = JSON.parse(form.series.value), number = v => v === null ? null : Number(v.text);
  try {
    const page = await api(`/v1/metrics?${new URLSearchParams({ metric_name, asset_id, metric_type, series_id, from: `-${form.range.value}`, limit: 2000 })}`);
    const points = page.get("data").map(p => ({ at: Date.parse(p.get("bucket")), avg: number(p.get("avg")), p95: number(p.get("p95")) })).reverse();
    $("chart").replaceChildren(...(points.length ? [chart(points, metric_name)] : []));
    note("metrics-note", points.length ? `${points.length} buckets of ${page.get("resolution")}.` : "No sample in this time.");
  } catch (error) { $("chart").replaceChildren(); note("metrics-note", error.message, "bad"); }
}
function chart(points, name) {
  const W = 1000, H = 220, svg = (tag, props, text) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const p in props) e.setAttribute(p, props[p]);
    if (text != null) e.textContent = text;
    return e;
  };
  const values = points.flatMap(p => [p.avg, p.p95]).filter(v => v !== null), show = v => Number(v.toPrecision(5)).toString();
  const low = Math.min(...values), high = Math.max(...values), first = points[0].at, last = points.at(-1).at;
  const x = at => last > first ? (at - first) / (last - first) * W : W / 2, y = v => high > low ? H - (v - low) / (high - low) * H : H / 2;
  const time = at => when(new Date(at).toISOString()).slice(0, 16);
  const label = `${name}: mean and 95th percentile from ${time(first)} to ${time(last)} ${zone()}, between ${show(low)} and ${show(high)}; the last mean is ${show(points.at(-1).avg)}.`;
  const root = svg("svg", { class: "chart", viewBox: `-70 -12 ${W + 90} ${H + 40}`, role: "img", "aria-label": label });
  for (const v of high > low ? [low, high] : [low]) root.append(svg("line", { x1: 0, x2: W, y1: y(v), y2: y(v) }), svg("text", { x: -8, y: y(v) + 4, "text-anchor": "end" }, show(v)));
  root.append(svg("text", { x: 0, y: H + 22 }, time(first)), svg("text", { x: W, y: H + 22, "text-anchor": "end" }, time(last)));
  for (const kind of ["p95", "avg"]) {
    const line = points.filter(p => p[kind] !== null).map(p => [x(p.at), y(p[kind])]);
    if (line.length > 1) root.append(svg("polyline", { class: kind, points: line.map(p => p.join(",")).join(" ") }));
    else if (line.length) root.append(svg("circle", { class: kind, cx: line[0][0], cy: line[0][1], r: 4 }));
  }
  return root;
}
