// Keys of programs, and what each may send: its quotas.
const SCOPES = ["ingest", "read", "consume", "admin", "operator"];
const RATES = [["events_per_second", "Events a second"], ["bytes_per_second", "Bytes a second"], ["burst_seconds", "Seconds of them at once"]];
const keyName = k => k.get("label") || k.get("id");
function keyState(k) {
  if (k.get("revoked_at")) return { text: "revoked", kind: "warn" };
  return k.get("expires_at") && Date.parse(k.get("expires_at")) <= Date.now() ? { text: "expired", kind: "warn" } : { text: "active", kind: "" };
}
function quota(k) {
  const [events, bytes, burst] = RATES.map(([name]) => k.get(name) && count(k.get(name).text));
  return [events && `${events} events/s`, bytes && `${bytes} bytes/s`, burst && `${burst} s at once`].filter(Boolean).join(" · ") || "none";
}
const keys = list("keys", {
  scope: ["admin"],
  path: () => `/v1/keys${ofOrganization("?")}`,
  cells: k => [keyName(k), k.get("scopes").join(", "), keyState(k), quota(k), k.get("last_used_at") ? when(k.get("last_used_at")) : "not yet", k.get("expires_at") ? when(k.get("expires_at")) : "", k.get("tenant_id")],
  open: k => showDetail(keyDetail(k)),
  none: () => "No key.",
});
const rateFields = k => RATES.map(([name, label]) => question({ name, label, type: "number", min: 1, max: name === "burst_seconds" ? 3600 : 1e12, placeholder: name === "burst_seconds" ? "10" : "no limit", value: k?.get(name) }));
const endField = k => question({ name: "expires_at", label: `Ends (${zone()})`, type: "datetime-local", step: 1, value: k?.get("expires_at") });
function keyDetail(k) {
  const at = path("keys", k.get("id")), parts = [fields(new Map([...k, ["scopes", k.get("scopes").join(", ")]]), [])];
  if (keyState(k).text !== "active") return parts;
  // Of a key that may do more than the one that asks nothing is changed.
  if (k.get("scopes").every(s => may(s))) {
    parts.push(askForm([question({ name: "label", label: "Label", value: k.get("label"), maxLength: 200 }), endField(k), ...rateFields(k)], "Change", async body => {
      // An emptied label is one; what else is emptied is taken away.
      if (body.label === null) body.label = "";
      const now = await sendTo("PATCH", at, body);
      showInstead(keyDetail(now), "It is changed; nodes know it within 5 s.");
      await reloadKeys();
    }, "key-change"),
    askForm([question({ name: "grace", label: "The old key still works for", value: "24h", always: true, required: true })], "Rotate", async body => showMade(await sendTo("POST", `${at}/rotate`, body), `Its successor is made; the old one ends after ${body.grace}.`), "key-rotate"));
  }
  if (isOperator() || !k.get("scopes").includes("operator")) parts.push(deed("Revoke", async () => {
    const now = await sendTo("DELETE", at);
    showInstead(keyDetail(now), now.get("own") ? "Revoked: it was the one in use here." : "Revoked: it is refused within 5 s.");
    await reloadKeys();
  }, "Revoke: press again, there is no way back"));
  return parts;
}
const reloadKeys = () => Promise.all([keys.load(), audit.load()]);
// The text of a key is nowhere else, and gone with what is chosen next.
async function showMade(made, text) {
  const secret = el("pre", made.get("key"), { className: "secret", tabIndex: 0 }), box = el("div", null, { className: "secret" });
  secret.setAttribute("aria-label", "The key");
  box.append(el("p", "The key, shown this once: keep it now.", { className: "warn" }), secret, deed("Copy", async () => {
    try { await navigator.clipboard.writeText(made.get("key")); } catch { getSelection().selectAllChildren(secret); throw new Error("This page may not copy: it is selected."); }
  }));
  made.delete("key");
  showInstead([box, ...keyDetail(made)], text);
  await reloadKeys();
}
const newKey = () => showDetail([askForm([
  question({ name: "label", label: "Label: what it is for", maxLength: 200 }),
  choice({ name: "scopes", label: "Scopes", values: SCOPES.filter(s => may(s)) }),
  endField(null), ...rateFields(null),
], `Make the key of ${chosenOrganization() ?? "your organization"}`, async body => {
  if (!body.scopes.length) throw new Error("Choose what it may: at least one scope.");
  await showMade(await sendTo("POST", "/v1/keys", ofChosen(body)), "It is made.");
}, "key-new")]);
