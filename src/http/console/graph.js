// What is related to an event, as a small graph: the event, and beside it the others in the order of time, each with how they belong
// together. By keyboard: arrows go from one to the next, Enter shows it whole.
const GRAPH = { width: 360, row: 46, own: 106, gap: 44 };
function svgPart(tag, props = {}, text = null) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const p in props) e.setAttribute(p, props[p]);
  if (text !== null) e.textContent = text;
  return e;
}
const cut = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
const apart = ms => ms === 0 ? "at the same time" : `${age(new Num(String(Math.abs(ms) / 1000)))} ${ms < 0 ? "before" : "after"}`;
function relatedGraph(event, related) {
  const { width, row, own, gap } = GRAPH, at = e => Date.parse(e.get("timestamp"));
  const others = [...related].sort((a, b) => at(a.get("event")) - at(b.get("event"))), height = Math.max(1, others.length) * row, middle = height / 2, left = own + gap;
  const root = svgPart("svg", { class: "graph", viewBox: `-2 -2 ${width + 4} ${height + 4}`, role: "group", "aria-label": `${several(others.length, "related event")}: arrows go from one to the next, Enter shows it` });
  const box = (x, y, w, kind) => svgPart("rect", { x, y: y - 18, width: w, height: 36, rx: 6, class: kind });
  const itself = svgPart("g", { class: "itself" });
  itself.append(svgPart("title", {}, plain(event.get("event_type"))), box(0, middle, own, kindOf(event.get("severity"))), svgPart("text", { x: 8, y: middle - 3 }, cut(plain(event.get("event_type")), 14)), svgPart("text", { x: 8, y: middle + 12, class: "soft" }, "this event"));
  const nodes = others.map((r, n) => {
    const e = r.get("event"), y = (n + .5) * row, strength = Number(r.get("strength").text), how = `${r.get("relation")} ${strength.toFixed(2)}, ${apart(at(e) - at(event))}`;
    root.append(svgPart("path", { class: r.get("relation"), "stroke-width": 1 + 3 * strength, d: `M${own} ${middle}C${own + gap / 2} ${middle} ${own + gap / 2} ${y} ${left} ${y}` }));
    const node = svgPart("g", { class: "node", tabindex: n ? -1 : 0, role: "button" });
    // Whole, where the text is cut; and what it is called by those who hear it.
    node.append(svgPart("title", {}, `${e.get("event_type")} · ${e.get("source_module")}: ${how}`), box(left, y, width - left, kindOf(e.get("severity"))), svgPart("text", { x: left + 8, y: y - 3 }, cut(`${e.get("event_type")} · ${e.get("source_module")}`, 29)), svgPart("text", { x: left + 8, y: y + 12, class: "soft" }, how));
    node.onclick = () => showDetail((async () => wholeEvent(await api(path("events", e.get("id")))))());
    return node;
  });
  root.append(itself, ...nodes);
  root.onkeydown = e => {
    const n = nodes.indexOf(document.activeElement), to = { ArrowDown: n + 1, ArrowRight: n + 1, ArrowUp: n - 1, ArrowLeft: n - 1, Home: 0, End: nodes.length - 1 };
    if (n < 0) return;
    if (e.key in to) { e.preventDefault(); nodes[to[e.key]]?.focus(); } else if (e.key === "Enter" || e.key === " ") { e.preventDefault(); nodes[n].onclick(); }
  };
  return root;
}
