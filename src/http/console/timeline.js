// Deployments over time: a lane for each service and environment, a bar for each deployment that the list has loaded. By keyboard: arrows
// go from one to the next in time, and from lane to lane; Enter shows it whole.
const timeline = { lanes: [], at: null };
const SPANS = { "-24h": 86400e3, "-7d": 7 * 86400e3, "-30d": 30 * 86400e3 };
function showTimeline(items) {
  const box = $("timeline"), now = Date.now();
  const bars = items.map(d => {
    const from = Date.parse(begun(d)), ended = d.get("finished_at") ?? d.get("rolled_back_at");
    return { d, from, to: Math.max(from, ended ? Date.parse(ended) : d.get("status") === "started" ? now : from) };
  }).sort((a, b) => a.from - b.from);
  timeline.at = null;
  if (!bars.length) { timeline.lanes = []; box.replaceChildren(); return note("timeline-note", ""); }
  const span = SPANS[$("inventory-filter").elements.from.value], first = span ? Math.min(now - span, bars[0].from) : bars[0].from, last = Math.max(now, ...bars.map(b => b.to));
  const names = new Map();
  for (const bar of bars) {
    const name = [bar.d.get("service") ?? "no service", bar.d.get("environment")].filter(Boolean).join(" · ");
    if (!names.has(name)) names.set(name, []);
    names.get(name).push(bar);
  }
  timeline.lanes = [...names].sort(([a], [b]) => a < b ? -1 : 1).map(([name, bars]) => ({ name, bars }));
  const share = at => `${(at - first) / Math.max(1, last - first) * 100}%`;
  const axis = el("div", null, { className: "axis" });
  axis.append(el("span", when(instant(first), 16)), el("span", when(instant(last), 16)));
  box.replaceChildren(...timeline.lanes.map(lane => {
    const row = el("div", null, { className: "lane" }), track = el("div", null, { className: "track" });
    for (const bar of lane.bars) {
      bar.mark = el("span", null, { className: `bar ${bar.d.get("status")}`, title: inWords(bar) });
      bar.mark.style.left = share(bar.from); bar.mark.style.width = share(first + bar.to - bar.from);
      bar.mark.onclick = () => { pointAt(bar); openBar(); };
      bar.mark.onpointerenter = () => pointAt(bar);
      track.append(bar.mark);
    }
    row.append(el("span", lane.name, { className: "name", title: lane.name }), track);
    return row;
  }), axis);
  const states = ["started", "succeeded", "failed", "rolled_back"].map(s => [bars.filter(b => b.d.get("status") === s).length, s.replace("_", " ")]).filter(([n]) => n).map(([n, s]) => `${n} ${s}`);
  note("timeline-note", `${several(bars.length, "deployment")}: ${states.join(", ")}.`);
}
const inWords = ({ d, from }) => `${when(instant(from), 19)} (${zone()}): ${[d.get("service"), d.get("version"), d.get("environment")].filter(Boolean).join(" · ")} ${d.get("status").replace("_", " ")}${d.get("duration_ms") ? ` after ${lasted(d.get("duration_ms"))}` : ""}.`;
function pointAt(bar) {
  timeline.at?.mark.removeAttribute("data-on");
  timeline.at = bar;
  bar.mark.setAttribute("data-on", "");
  note("timeline-note", inWords(bar));
}
function openBar() { $("timeline").focus({ preventScroll: true }); showDetail(described(timeline.at.d)); }
function moveOnTimeline(e) {
  const { lanes, at } = timeline, all = lanes.flatMap(l => l.bars).sort((a, b) => a.from - b.from), lane = lanes.findIndex(l => l.bars.includes(at));
  if (!all.length) return;
  const beside = lanes[lane + { ArrowDown: 1, ArrowUp: -1 }[e.key]]?.bars, near = beside?.reduce((a, b) => Math.abs(b.from - at.from) < Math.abs(a.from - at.from) ? b : a);
  const n = all.indexOf(at), to = { ArrowRight: all[n + 1], ArrowLeft: at ? all[n - 1] : all.at(-1), Home: all[0], End: all.at(-1), ArrowDown: at ? near : all[0], ArrowUp: at ? near : all.at(-1) };
  if (e.key in to) { e.preventDefault(); if (to[e.key]) pointAt(to[e.key]); } else if (e.key === "Enter" && at) openBar();
}
$("timeline").onkeydown = moveOnTimeline;
