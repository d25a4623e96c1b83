// Pairs of events that belong together.
const side = (p, which) => `${p.get(`${which}_source_module`) ?? "expired"} · ${p.get(`${which}_event_type`) ?? ""}`;
const correlations = list("correlations", {
  scope: ["read"],
  path: () => `/v1/correlations?from=${encodeURIComponent(new Date(Date.now() - 86400000).toISOString())}`,
  cells: p => [when(p.get("timestamp")), p.get("correlation_type"), Number(p.get("strength").text).toFixed(2), side(p, "primary"), side(p, "related")],
  open: p => showDetail([fields(p, [])]),
  none: () => "None in the last 24 hours.",
});
