// Metrics: the series of the catalog to choose from.
const shown = dimensions => dimensions === null ? "…" : [...dimensions].map(([k, v]) => `${k}=${plain(v)}`).join(" ");
function catalogQuery() {
  const form = $("series").elements, search = form.search.value.trim(), pairs = form.dimensions.value.split("&").filter(p => p.trim());
  // Commas separate values here as they do in the query.
  const part = ([name, ...value]) => `dim.${encodeURIComponent(name.trim())}=${value.join("=").split(",").map(encodeURIComponent).join(",")}`;
  return [`limit=${SERIES_SHOWN}`, ...(search ? [`search=${encodeURIComponent(search)}`] : []), ...pairs.map(p => part(p.split("=")))];
}
const NAMES = ["metric_name", "asset_id", "metric_type"];
const catalog = { next: null };
// As the catalog calls them, with their dimensions; a link has those of the name, asset and type alone.
const seriesNames = new Map();
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
  const select = $("series").elements.series, query = catalogQuery(), why = barred("read");
  if (!goesOn) { catalog.next = null; $("series-more").hidden = true; }
  if (why) { select.replaceChildren(); return clearChart(why); }
  try {
    const page = await api(`/v1/metrics/catalog?totals=1&${query.join("&")}${goesOn ? `&cursor=${encodeURIComponent(catalog.next)}` : ""}`), totals = page.get("totals");
    $("series-totals").textContent = `· ${count(totals.get("stored").text)} series, ${count(totals.get("active").text)} of them active in the last hour`;
    const label = s => seriesLabel([...NAMES.map(f => s.get(f)), shown(s.get("dimensions"))]);
    // What was chosen while it was asked counts as well.
    const before = select.value;
    if (!goesOn) select.replaceChildren();
    for (const s of page.get("data")) {
      const value = JSON.stringify([...NAMES, "series_id"].map(f => s.get(f)));
      seriesNames.set(value, label(s));
      select.append(el("option", label(s), { value }));
    }
    catalog.next = page.get("next_cursor"); $("series-more").hidden = !catalog.next;
    if ([...select.options].some(o => o.value === before)) select.value = before;
    else if (seriesChosen && before && !goesOn) chooseSeries(before);
    if (goesOn) return note("metrics-note", `${count(select.options.length)} series to choose from.`);
    if (chosenLines().length) return await loadPoints();
    clearChart(query.length > 1 ? "No series fits." : "No series yet.");
  } catch (error) { if (goesOn) note("metrics-note", error.message, "bad"); else clearChart(error.message, "bad"); }
}
