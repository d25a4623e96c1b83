// What events tell of services, deployments and assets.
const inventoryWanted = names => {
  const given = new FormData($("inventory-filter")), params = new URLSearchParams();
  for (const [field, name] of names) if (given.get(field).trim()) params.set(name, given.get(field).trim());
  const text = params.toString().replaceAll("%2C", ",");
  return text && `?${text}`;
};
const STATUS = { failed: "bad", rolled_back: "warn", retired: "soft", unknown: "soft" };
const statusCell = text => ({ text, kind: STATUS[text] ?? "" });
const services = list("services", {
  scope: ["read"],
  path: () => `/v1/services${inventoryWanted([["service", "name"], ["team", "team"]])}`,
  cells: s => [s.get("name"), statusCell(s.get("status")), s.get("version"), s.get("owner"), s.get("team"), when(s.get("updated_at")), { text: s.get("description") ?? "", kind: "wrap" }],
  open: s => showDetail(serviceDetail(s)),
  none: () => "No service: events such as service.registered or deployment.started tell of them.",
});
const deployments = list("deployments", {
  scope: ["read"],
  path: () => `/v1/deployments${inventoryWanted([["service", "service"], ["environment", "environment"], ["status", "status"], ["from", "from"]])}`,
  cells: d => [d.get("deployment_id"), d.get("service"), d.get("environment"), d.get("version"), statusCell(d.get("status")), when(begun(d)), lasted(d.get("duration_ms")), d.get("deployed_by"), { text: d.get("error") ?? "", kind: "wrap" }],
  open: d => showDetail([...described(d)]),
  none: () => "No deployment in this time.",
  shown: showTimeline,
});
const assets = list("assets", {
  scope: ["read"],
  path: () => `/v1/assets${inventoryWanted([["team", "team"]])}`,
  cells: a => [a.get("asset_id"), a.get("name") === a.get("asset_id") ? "" : a.get("name"), statusCell(a.get("asset_type")), a.get("version"), a.get("owner"), a.get("team"), when(a.get("first_seen")), when(a.get("last_seen"))],
  open: a => showDetail(assetDetail(a)),
  none: () => "No asset.",
});
const begun = d => d.get("started_at") ?? d.get("created_at");
const lasted = ms => ms === null ? "" : age(new Num(String(Number(ms.text) / 1000)));
// One of them whole: what has parts as trees.
function described(item) {
  const parts = ["tags", "metadata"].filter(name => item.get(name) != null);
  return [fields(item, ["tags", "metadata"]), ...parts.flatMap(name => [el("h3", name), tree(item.get(name))])];
}
async function serviceDetail(s) {
  const data = (await api(`/v1/deployments?${new URLSearchParams({ service: s.get("name"), limit: 10 })}`)).get("data"), last = el("dl", null, { className: "fields" });
  for (const d of data) last.append(el("dt", when(begun(d), 19)), el("dd", [d.get("version"), d.get("environment"), d.get("status")].filter(Boolean).join(" · ")));
  return [...described(s), ...data.length ? [el("h3", "its last deployments"), last] : []];
}
function assetDetail(a) {
  const links = el("p", null, { className: "buttons" }), id = a.get("asset_id");
  links.append(el("a", "Its events", { href: `#events?${new URLSearchParams({ "e.asset_id": id, ...(local && { tz: "local" }) })}` }), el("a", "Its metrics", { href: `#metrics?${new URLSearchParams({ "m.search": id, ...(local && { tz: "local" }) })}` }));
  return [links, ...described(a)];
}
const loadInventory = () => Promise.all([services.load(), deployments.load(), assets.load()]);
function clearInventory() { for (const shown of [services, deployments, assets]) shown.clear(""); }
$("inventory-filter").onsubmit = e => { e.preventDefault(); remember(); loadInventory(); };
$("inventory-refresh").onclick = () => loadInventory();
