// Organizations: an admin's own, or an operator's all.
const isOperator = () => scopes.includes("operator");
const keptDays = value => value === null ? "as all" : `${count(value.text)} d`;
const KEPT = ["events", "metrics", "correlations"];
const activeOrNot = isActive => isActive ? { text: "active", kind: "" } : { text: "deactivated", kind: "warn" };
const organizations = list("organizations", {
  scope: ["admin"],
  path: () => "/v1/organizations",
  cells: o => [o.get("tenant_id"), o.get("name"), activeOrNot(o.get("is_active")), ...KEPT.map(k => ({ text: keptDays(o.get(`${k}_retention_days`)), kind: "number" })), when(o.get("created_at"))],
  open: o => showDetail(organizationDetail(o)),
  none: () => "No organization.",
});
async function organizationDetail(o) {
  const at = path("organizations", o.get("tenant_id"));
  const change = async body => { const now = await sendTo("PATCH", at, body); await showOrganization(now, "It is changed."); };
  const parts = [fields(o, []), askForm([question({ name: "name", label: "Name", value: o.get("name"), required: true, maxLength: 255 })], "Rename", change, "org-name")];
  if (!isOperator()) return parts;
  const aside = el("p", null, { className: "buttons" });
  aside.append(action("Show its users, keys and acts", async () => { $("admin-filter").elements.organization.value = o.get("tenant_id"); remember(); $("users-title").focus(); await loadAdmin(); }));
  parts.unshift(aside);
  parts.push(askForm(KEPT.map(k => question({ name: `${k}_retention_days`, label: `Days of ${k}`, type: "number", min: k === "metrics" ? 2 : 1, max: 3650, placeholder: "as all", value: o.get(`${k}_retention_days`) })), "Keep for so long", change, "org-kept"),
    o.get("is_active")
      ? deed("Deactivate", async () => showOrganization(await sendTo("DELETE", at), "It is deactivated: its keys stop working within 5 s, its data stay."), "Deactivate: press again, its keys stop")
      : deed("Activate", async () => showOrganization(await sendTo("PATCH", at, { is_active: true }), "It is active again.")));
  return parts;
}
async function showOrganization(o, text) {
  showInstead(await organizationDetail(o), text);
  await Promise.all([organizations.load(), audit.load()]);
}
const newOrganization = () => showDetail([askForm([
  question({ name: "name", label: "Name", required: true, maxLength: 255 }),
  question({ name: "slug", label: "Slug: its tenant, for good", placeholder: "of its name", pattern: "[a-z0-9][a-z0-9._\\-]{0,99}", title: "small letters and digits, then also . _ -" }),
], "Make the organization", async body => showOrganization(await sendTo("POST", "/v1/organizations", body), "It is made."), "org-new")]);
