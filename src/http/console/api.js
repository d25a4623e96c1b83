// The key, or who has signed in, and what may be done. Where there is a key it counts.
let scopes = [], person = null, isRefused = false, askedFor = null;
function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) { sessionStorage.setItem("key", given); history.replaceState(null, "", location.pathname + location.search); }
  return Boolean(given);
}
const key = () => sessionStorage.getItem("key") || "";
const may = (...wanted) => wanted.some(scope => scopes.includes(scope)) || scopes.includes("operator");
function tellKey() { $("key").placeholder = key() ? `${key().slice(0, 11)}… ${isRefused ? "refused" : "in use"}` : "tg_…"; }
function showKey() { $("key").value = ""; tellKey(); $("forget").hidden = !key(); }

// Why a part of the page shows nothing to this key; null: it may.
function barred(...wanted) {
  if (!key() && !person) return `Sign in, or enter an API key with the scope ${wanted.join(" or ")}.`;
  if (isRefused) return "The key is refused.";
  return may(...wanted) ? null : `${key() ? "This key" : `The role ${person.get("role")}`} lacks the scope ${wanted.join(" or ")}.`;
}
async function loadScopes() {
  const whose = key();
  // Of the same one it stays as it is until the answer is here: what is told again meanwhile does not vanish for a moment.
  if (whose !== askedFor) { scopes = []; person = null; isRefused = false; askedFor = whose; }
  const found = { scopes: [], person: null, isRefused: false };
  let who, failed = null;
  try {
    if (whose) {
      const own = await api("/v1/keys/self");
      found.scopes = own.get("scopes");
      who = `${own.get("tenant_id")} · ${found.scopes.join(", ")}`;
    } else {
      found.person = await api("/v1/sessions/self");
      found.scopes = found.person.get("scopes");
      who = `${found.person.get("user").get("email")} · ${found.person.get("organization")} · ${found.person.get("role")}`;
    }
  } catch (error) { failed = error; found.isRefused = Boolean(whose) && error.status === 401; }
  // Another key was entered meanwhile, and is asked about.
  if (whose !== askedFor) return;
  ({ scopes, person, isRefused } = found);
  if (!failed) note("who", who);
  // Nobody has signed in.
  else if (whose || failed.status !== 401) note("who", failed.message, "bad"); else if ($("who").className !== "bad") note("who", "");
  tellKey();
  if (isRefused) note("overview-note", KEY_REFUSED, "bad");
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
  try { answer = await (options.method || options.headAlone ? ask() : inTurn(() => patiently(ask))); } catch { throw new Error("The server does not answer."); }
  // Of what has no end the beginning says enough.
  if (options.headAlone && answer.ok) return null;
  const text = await answer.text();
  let body = null;
  try { body = parse(text); } catch { /* shown below as its status */ }
  if (!answer.ok) throw Object.assign(new Error(body instanceof Map && body.get("code") ? `${answer.status} ${body.get("code")}: ${body.get("detail")}` : `The server answered ${answer.status}.`), { status: answer.status, wait: Number(answer.headers.get("Retry-After")) });
  return body;
}
// The body as text: numbers go as they came.
const post = (path, body = "") => api(path, { method: "POST", body, headers: { "Content-Type": "application/json" } });
