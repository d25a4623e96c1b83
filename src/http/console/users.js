// People who sign in, with their sessions.
const ROLES = ["viewer", "admin"];
const users = list("users", {
  scope: ["admin"],
  path: () => `/v1/users${ofOrganization("?")}`,
  cells: u => [u.get("email"), u.get("role"), activeOrNot(u.get("is_active")), u.get("last_login_at") ? when(u.get("last_login_at")) : "never", when(u.get("created_at")), u.get("tenant_id")],
  open: u => showDetail(userDetail(u)),
  none: () => "No user: make one, or let programs use keys.",
});
async function userDetail(u) {
  const at = path("users", u.get("id")), change = text => async body => showUser(await sendTo("PATCH", at, body), text);
  return [fields(u, []),
    askForm([question({ name: "role", label: "Role", options: ROLES, value: u.get("role") })], "Change the role", change("The role is changed, with the next request."), "user-role"),
    askForm([question({ name: "password", label: "Another password", type: "password", minLength: 12, maxLength: 1024, required: true })], "Set the password", change("The password is set; all sessions are ended."), "user-password"),
    u.get("is_active")
      ? deed("Deactivate", async () => showUser(await sendTo("DELETE", at), "Deactivated; all sessions are ended."), "Deactivate: press again, sessions end")
      : deed("Activate", async () => showUser(await sendTo("PATCH", at, { is_active: true }), "Active again.")),
    el("h3", "sessions"), ...await sessionsOf(u)];
}
async function sessionsOf(u) {
  const found = (await api(`/v1/sessions?user=${encodeURIComponent(u.get("id"))}&limit=${PAGE}`)).get("data").filter(s => s.get("is_active"));
  if (!found.length) return [el("p", "None that is good.", { className: "soft" })];
  return found.flatMap(s => [
    el("p", `since ${when(s.get("created_at"))}, last ${when(s.get("last_used_at"))} ${zone()}, from ${s.get("address")}${s.get("user_agent") ? `, ${s.get("user_agent")}` : ""}`),
    deed("End this session", async () => { await sendTo("DELETE", path("sessions", s.get("id"))); await showUser(u, "The session is ended."); }, "End it: press again")]);
}
async function showUser(u, text) {
  showInstead(await userDetail(u), text);
  await Promise.all([users.load(), audit.load()]);
}
const newUser = () => showDetail([askForm([
  question({ name: "email", label: "E-mail address", type: "email", required: true, maxLength: 254 }),
  question({ name: "role", label: "Role", options: ROLES, value: "viewer", always: true }),
  question({ name: "password", label: "Password, 12 characters at least", type: "password", minLength: 12, maxLength: 1024, required: true }),
], `Make the user of ${chosenOrganization() ?? "your organization"}`, async body => showUser(await sendTo("POST", "/v1/users", ofChosen(body)), "The user is made."), "user-new")]);
