// The key, and what it may do.
let scopes = [];
function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) { sessionStorage.setItem("key", given); history.replaceState(null, "", location.pathname + location.search); }
  return Boolean(given);
}
const key = () => sessionStorage.getItem("key") || "";
const may = (...wanted) => wanted.some(scope => scopes.includes(scope)) || scopes.includes("operator");
function showKey() { $("key").value = ""; $("key").placeholder = key() ? key().slice(0, 11) + "… in use" : "tg_…"; $("forget").hidden = !key(); }

// Why a part of the page shows nothing to this key; null: it may.
function barred(...wanted) {
  if (!key()) return `Enter an API key with the scope ${wanted.join(" or ")}.`;
  return may(...wanted) ? null : `This key lacks the scope ${wanted.join(" or ")}.`;
}
async function loadScopes() {
  scopes = [];
  if (!key()) return note("who", "");
  try {
    const own = await api("/v1/keys/self");
    scopes = own.get("scopes");
    note("who", `${own.get("tenant_id")} · ${scopes.join(", ")}`);
  } catch (error) { note("who", error.message, "bad"); }
}

const path = (...names) => `/v1/${names.map(encodeURIComponent).join("/")}`;
async function api(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: "no-store", headers: { Accept: "application/json", Authorization: `Bearer ${key()}`, ...options.headers } });
  } catch { throw new Error("The server does not answer."); }
  const text = await answer.text();
  let body = null;
  try { body = parse(text); } catch { /* shown below as its status */ }
  if (!answer.ok) throw new Error(body instanceof Map && body.get("code") ? `${answer.status} ${body.get("code")}: ${body.get("detail")}` : `The server answered ${answer.status}.`);
  return body;
}
// The body as text: numbers go as they came.
const post = (path, body = "") => api(path, { method: "POST", body, headers: { "Content-Type": "application/json" } });
