// Who did what.
const whose = a => a.get("actor") || a.get("actor_id") || a.get("actor_kind");
const audit = list("audit", {
  scope: ["admin"],
  path: () => {
    const given = new FormData($("audit-filter")), params = new URLSearchParams();
    for (const name of ["action", "actor", "target", "from"]) if (given.get(name).trim()) params.set(name, given.get(name).trim());
    // Commas separate values.
    return `/v1/audit?${params.toString().replaceAll("%2C", ",")}${ofOrganization("&")}`;
  },
  cells: a => [when(a.get("at")), a.get("action"), { text: whose(a), kind: "wrap" }, a.get("target"), { text: compact(a.get("details")), kind: "payload" }, a.get("tenant_id")],
  open: a => showDetail([fields(a, ["details"]), el("h3", "details: what was asked for"), tree(a.get("details"))]),
  none: () => "No act in this time.",
});
