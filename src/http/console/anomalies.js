// Anomalies of the series in the chart: hours in which one was far from what it usually is, beside errors of its asset. The server
// tells them as pairs of those errors; here each hour counts once. They are marked in the plot, told where it is pointed at, and listed.
const ANOMALY_PAGES = 3, NEAR_HOUR = 5 * 60e3, STATISTIC_WORDS = { avg: "mean", min: "minimum", max: "maximum" };
async function anomaliesOf(lines, from, to) {
  const hours = new Map(), ofValue = new Map(lines.map(line => [line.value, line]));
  // By when the errors were, which may be before the hour or after it.
  const asked = { type: "anomaly", from: instant(from - HOUR - NEAR_HOUR), to: instant(to + HOUR + NEAR_HOUR), limit: 1000 };
  let cursor = null, pages = 0;
  do {
    const page = await api(`/v1/correlations?${new URLSearchParams({ ...asked, ...(cursor && { cursor }) })}`);
    for (const pair of page.get("data")) {
      const told = pair.get("metadata"), line = ofValue.get(JSON.stringify([...NAMES, "series_id"].map(f => told.get(f)))), at = Date.parse(told.get("bucket"));
      if (!line || at >= to || at + HOUR <= from) continue;
      const key = `${at} ${line.value}`, [value, median, z] = ["value", "median", "z"].map(f => numberOf(told.get(f)));
      if (!hours.has(key)) hours.set(key, { at, line, value, median, z, statistic: STATISTIC_WORDS[told.get("statistic")], errors: new Set() });
      for (const which of ["primary", "related"]) hours.get(key).errors.add(pair.get(`${which}_event_id`));
    }
    cursor = page.get("next_cursor");
  } while (cursor && ++pages < ANOMALY_PAGES);
  return { found: [...hours.values()].sort((a, b) => b.at - a.at), isCut: Boolean(cursor) };
}
const manyAnomalies = n => n === 1 ? "1 anomaly" : `${count(n)} anomalies`;
const anomalyText = a => `${a.statistic} ${figure(a.value)}, usually ${figure(a.median)} (z ${figure(a.z)})`;
// Those of the hours that a bucket is in, or that are in it.
const anomaliesAt = at => at === undefined ? [] : chart.anomalies.filter(a => at < a.at + HOUR && a.at < at + Math.max(a.line.width, 1));

// Beneath the lines the hour, and over them the value that was far off.
function drawHours(u) {
  const { ctx, bbox } = u;
  ctx.save(); ctx.fillStyle = `${themeColour("bad")}26`;
  for (const at of new Set(chart.anomalies.map(a => a.at))) {
    const [left, right] = [at, at + HOUR].map(t => Math.min(Math.max(u.valToPos(t / 1e3, "x", true), bbox.left), bbox.left + bbox.width));
    ctx.fillRect(left, bbox.top, Math.max(right - left, 2 * devicePixelRatio), bbox.height);
  }
  ctx.restore();
}
function drawAnomalies(u) {
  const { ctx, bbox } = u, size = 7 * devicePixelRatio;
  ctx.save(); ctx.fillStyle = themeColour("bad"); ctx.strokeStyle = themeColour("card"); ctx.lineWidth = devicePixelRatio;
  for (const { at, value, line } of chart.anomalies) {
    const within = (v, low, length) => Math.min(Math.max(v, low + size), low + length - size);
    const x = within(u.valToPos((at + HOUR / 2) / 1e3, "x", true), bbox.left, bbox.width), y = within(u.valToPos(value, scaleOf(line), true), bbox.top, bbox.height);
    ctx.beginPath(); ctx.moveTo(x, y - size); ctx.lineTo(x + size, y); ctx.lineTo(x, y + size); ctx.lineTo(x - size, y); ctx.closePath();
    ctx.fill(); ctx.stroke();
  }
  ctx.restore();
}
function listAnomalies() {
  const number = text => ({ text, kind: "number" });
  $("anomalies-box").hidden = !chart.anomalies.length;
  $("anomalies").tBodies[0].replaceChildren(...chart.anomalies.map(a => row(
    [when(instant(a.at)).slice(0, 16), { text: a.line.name, kind: "wrap" }, a.statistic, number(figure(a.value)), number(figure(a.median)), number(figure(a.z)), number(count(a.errors.size))],
    () => { lookAt(a.at - HOUR, a.at + 2 * HOUR); $("chart").focus(); })));
}
