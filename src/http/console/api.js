// The key, or who has signed in, and what may be done. Where there is a key it counts.
let scopes = [], person = null;
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
  if (!key() && !person) return `Sign in, or enter an API key with the scope ${wanted.join(" or ")}.`;
  return may(...wanted) ? null : `${key() ? "This key" : `The role ${person.get("role")}`} lacks the scope ${wanted.join(" or ")}.`;
}
async function loadScopes() {
  scopes = []; person = null;
  try {
    if (key()) {
      const own = await api("/v1/keys/self");
      scopes = own.get("scopes");
      note("who", `${own.get("tenant_id")} · ${scopes.join(", ")}`);
    } else {
      person = await api("/v1/sessions/self");
      scopes = person.get("scopes");
      note("who", `${person.get("user").get("email")} · ${person.get("organization")} · ${person.get("role")}`);
    }
  } catch (error) {
    // Nobody has signed in.
    if (key() || error.status !== 401) note("who", error.message, "bad"); else if ($("who").className !== "bad") note("who", "");
  }
  $("sign-in").hidden = Boolean(key() || person); $("sign-out").hidden = Boolean(key() || !person);
}
async function signIn(form) {
  const given = JSON.stringify(Object.fromEntries(new FormData(form)));
  form.reset();
  try { await post("/v1/sessions", given); } catch (error) { return note("who", error.message, "bad"); }
  note("who", ""); loadAnew();
}
async function signOut() {
  try { await api("/v1/sessions/self", { method: "DELETE" }); } catch (error) { if (error.status !== 401) return note("who", error.message, "bad"); }
  note("who", ""); loadAnew();
}

const path = (...names) => `/v1/${names.map(encodeURIComponent).join("/")}`;
// The server reads little at once for one organization: the page asks for no more than this, and again where it is told to wait.
const READS_AT_ONCE = 4, READ_TRIES = 5, READ_WAIT_S = 5;
const reads = { now: 0, waiting: [] };
async function inTurn(ask) {
  if (reads.now < READS_AT_ONCE) reads.now++; else await new Promise(go => reads.waiting.push(go));
  try { return await ask(); } finally { const next = reads.waiting.shift(); if (next) next(); else reads.now--; }
}
async function patiently(ask) {
  for (let tries = 1; ; tries++) {
    const answer = await ask(), wait = Number(answer.headers.get("Retry-After"));
    if (answer.status !== 429 || !(wait > 0 && wait <= READ_WAIT_S) || tries === READ_TRIES) return answer;
    await new Promise(go => setTimeout(go, wait * 1000));
  }
}
async function api(path, options = {}) {
  const ask = () => fetch(path, { ...options, cache: "no-store", headers: { Accept: "application/json", ...(key() && { Authorization: `Bearer ${key()}` }), ...options.headers } });
  let answer;
  try { answer = await (options.method ? ask() : inTurn(() => patiently(ask))); } catch { throw new Error("The server does not answer."); }
  const text = await answer.text();
  let body = null;
  try { body = parse(text); } catch { /* shown below as its status */ }
  if (!answer.ok) throw Object.assign(new Error(body instanceof Map && body.get("code") ? `${answer.status} ${body.get("code")}: ${body.get("detail")}` : `The server answered ${answer.status}.`), { status: answer.status });
  return body;
}
// The body as text: numbers go as they came.
const post = (path, body = "") => api(path, { method: "POST", body, headers: { "Content-Type": "application/json" } });
