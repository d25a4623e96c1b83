// Pairs of events that belong together: by type and strength, each with its rule in words.
const RULES = {
  parent: "The related event names the primary one as its parent.",
  correlation_id: "Both have the same correlation id, and one came right after the other: the sooner, the stronger.",
  lift: "Events of these two types come within five minutes of each other more often than by chance.",
  robust_z: "The asset had these errors in or beside an hour in which one of its series was far from what it usually is.",
};
const ruleOf = p => { const metadata = p.get("metadata"), rule = metadata instanceof Map ? metadata.get("rule") : null; return RULES[rule] ?? plain(rule); };
const side = (p, which) => `${p.get(`${which}_source_module`) ?? "expired"} · ${p.get(`${which}_event_type`) ?? ""}`;
function pairsWanted() {
  const form = new FormData($("pairs-filter")), params = new URLSearchParams({ from: form.get("from") });
  for (const name of ["type", "min_strength"]) if (form.get(name)) params.set(name, form.get(name));
  return params;
}
const correlations = list("correlations", {
  scope: ["read"],
  path: () => `/v1/correlations?${pairsWanted()}`,
  cells: p => [when(p.get("timestamp")), p.get("correlation_type"), Number(p.get("strength").text).toFixed(2), side(p, "primary"), side(p, "related"), { text: ruleOf(p), kind: "wrap" }],
  open: p => showDetail(pairDetail(p)),
  none: () => "No pair in this time.",
});
function pairDetail(pair) {
  const parts = [el("p", ruleOf(pair)), el("p", null, { className: "buttons" })];
  for (const which of ["primary", "related"]) {
    // An expired event has no type any more.
    if (pair.get(`${which}_event_type`) !== null) parts[1].append(action(`Show the ${which} event`, () => showDetail((async () => wholeEvent(await api(path("events", pair.get(`${which}_event_id`)))))())));
  }
  parts.push(fields(pair, ["metadata"]));
  if (pair.get("metadata")) parts.push(el("h3", "figures of the rule"), tree(pair.get("metadata")));
  return parts;
}
