// Administration: organizations, users, keys, quotas that are reached, and who did what.
// Of which organization; null: of all that are seen.
const chosenOrganization = () => $("admin-filter").elements.organization.value.trim() || null;
const ofOrganization = before => isOperator() && chosenOrganization() ? `${before}organization=${encodeURIComponent(chosenOrganization())}` : "";
const ofChosen = body => isOperator() && chosenOrganization() ? { ...body, organization: chosenOrganization() } : body;
async function loadAdmin() {
  const barredFrom = barred("admin") !== null;
  for (const id of ["user-make", "key-make"]) $(id).hidden = barredFrom;
  $("admin-filter").hidden = $("org-make").hidden = !isOperator();
  await Promise.all([organizations.load(), users.load(), keys.load(), audit.load(), loadQuotas()]);
}
// What organizations have more of than they may.
async function loadQuotas() {
  if (barred("admin")) return note("quotas-note", "");
  try {
    const over = (await api("/v1/lifecycle")).get("over_quota").map(q => `${q.get("what")}: ${several(Number(q.get("organizations").text), "organization")} at the most they may have since ${when(q.get("since"))} (${zone()}), ${count(q.get("refused").text)} times something was not made`);
    note("quotas-note", over.length ? `${over.join("; ")}.` : "No organization has reached its quota of assets or of series.", over.length ? "warn" : "soft");
  } catch (error) { note("quotas-note", error.message, "bad"); }
}
function clearAdmin() { for (const shown of [organizations, users, keys, audit]) shown.clear(""); note("quotas-note", ""); }
$("org-make").onclick = newOrganization; $("user-make").onclick = newUser; $("key-make").onclick = newKey;
$("admin-filter").onsubmit = e => { e.preventDefault(); remember(); loadAdmin(); };
$("audit-filter").onsubmit = e => { e.preventDefault(); remember(); audit.load(); };
$("admin-refresh").onclick = () => loadAdmin();
