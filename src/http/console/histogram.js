// How many events there are over time, above their list. A bar is a time to look at more closely: by a click, or by arrows and Enter.
const STEPS = [["1m", 60e3], ["5m", 300e3], ["1h", 3600e3], ["1d", 86400e3]], BARS_MAX = 300, DAYS_MAX = 1500;
const KINDS = ["calm", "warn", "bad"];
const histogram = { turn: 0, bars: [], width: 0, at: -1 };
async function loadHistogram() {
  const mine = ++histogram.turn, params = new URLSearchParams(wanted());
  if (barred("read")) return clearHistogram("");
  const to = params.has("to") ? Date.parse(params.get("to")) : Date.now(), from = params.has("from") ? Date.parse(params.get("from")) : null;
  const [bucket, width] = (from !== null && STEPS.find(([, ms]) => (to - from) / ms <= BARS_MAX)) || STEPS.at(-1);
  for (const [name, value] of Object.entries({ bucket, group_by: "severity", limit: 10000 })) params.set(name, value);
  try {
    const page = await api(`/v1/events/counts?${params}`);
    // What was asked for since counts.
    if (mine !== histogram.turn) return;
    const groups = page.get("data").map(c => ({ at: Date.parse(c.get("bucket")), kind: kindOf(c.get("severity")) || "calm", n: Number(c.get("count").text) }));
    if (!groups.length) return clearHistogram("");
    const first = Math.max(from ?? groups.at(-1).at, to - width * DAYS_MAX), start = Math.floor(first / width) * width;
    const bars = Array.from({ length: Math.max(1, Math.ceil((to - start) / width)) }, (_, n) => ({ at: start + n * width, calm: 0, warn: 0, bad: 0 }));
    for (const { at, kind, n } of groups) { const bar = bars[Math.round((at - start) / width)]; if (bar) bar[kind] += n; }
    Object.assign(histogram, { bars, width, at: -1 });
    $("histogram").replaceChildren(drawBars(bars));
    tellBar(-1);
  } catch (error) { if (mine === histogram.turn) clearHistogram(error.message, "bad"); }
}
function clearHistogram(text, kind) { histogram.bars = []; $("histogram").replaceChildren(); note("histogram-note", text, kind); }
const inBar = bar => bar.calm + bar.warn + bar.bad;
function drawBars(bars) {
  const H = 100, most = Math.max(1, ...bars.map(inBar)), svg = (tag, props) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const p in props) e.setAttribute(p, props[p]);
    return e;
  };
  const root = svg("svg", { viewBox: `0 0 ${bars.length} ${H}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  bars.forEach((bar, n) => {
    const whole = svg("g", {});
    whole.append(svg("rect", { class: "place", x: n, y: 0, width: 1, height: H }));
    let y = H;
    for (const kind of KINDS) if (bar[kind]) {
      const height = bar[kind] / most * H;
      whole.append(svg("rect", { class: kind, x: n + .05, y: y -= height, width: .9, height }));
    }
    whole.onpointerenter = () => tellBar(n);
    whole.onclick = () => lookCloser(n);
    root.append(whole);
  });
  return root;
}
const several = (n, name) => `${count(n)} ${name}${n === 1 ? "" : "s"}`;
const instant = at => new Date(at).toISOString();
// Which bar is pointed at, in words; none: all of them.
function tellBar(n) {
  const { bars, width } = histogram, bar = bars[n], box = $("histogram");
  histogram.at = n;
  for (const g of box.querySelectorAll("g[data-on]")) g.removeAttribute("data-on");
  const among = b => [[b.bad, "error"], [b.warn, "warning"]].filter(([c]) => c).map(([c, name]) => `, ${several(c, name)}`).join("");
  if (bar) {
    box.querySelectorAll("g")[n].setAttribute("data-on", "");
    return note("histogram-note", `${when(instant(bar.at), 19)} to ${when(instant(bar.at + width), 19)} (${zone()}): ${several(inBar(bar), "event")}${among(bar)}.`);
  }
  const all = bars.reduce((sum, b) => { for (const kind of KINDS) sum[kind] += b[kind]; return sum; }, { calm: 0, warn: 0, bad: 0 });
  note("histogram-note", `${several(inBar(all), "event")}${among(all)}; each bar is ${STEPS.find(([, ms]) => ms === width)[0]}.`);
}
function lookCloser(n) {
  const { bars, width } = histogram, form = $("filter").elements, bar = bars[n];
  if (!bar) return;
  form.range.value = "own"; setTime(form.from, instant(bar.at)); setTime(form.to, instant(bar.at + width));
  showRange(); remember(); loadEvents();
}
function moveBar(e) {
  const last = histogram.bars.length - 1, by = { ArrowLeft: Math.max(0, histogram.at < 0 ? last : histogram.at - 1), ArrowRight: Math.min(last, histogram.at + 1), Home: 0, End: last };
  if (last < 0) return;
  if (e.key in by) { e.preventDefault(); tellBar(by[e.key]); } else if (e.key === "Enter") lookCloser(histogram.at);
}
