// Events, one of them whole with what is related to it, and how many there are of each type.
const SEVERITY = { warning: "warn", error: "bad", critical: "bad", fatal: "bad", emergency: "bad", alert: "bad" };
// In any case, as the rules of correlations read it.
const kindOf = severity => SEVERITY[severity?.toLowerCase()] ?? "";
const FILTERS = ["q", "asset_id", "event_type", "severity", "source_module", "stream"], PAYLOAD_SHOWN = 160;
function wanted() {
  const form = new FormData($("filter")), params = new URLSearchParams();
  for (const name of FILTERS) if (form.get(name).trim()) params.set(name, form.get(name).trim());
  const range = form.get("range");
  // Absolute, so that the next page asks the same question.
  if (range === "own") { for (const name of ["from", "to"]) if (form.get(name)) params.set(name, absolute(form.get(name))); }
  else if (range) params.set("from", new Date(Date.now() - range * 1000).toISOString());
  return params.toString();
}
function showRange() { for (const name of ["from", "to"]) $("filter").elements[name].parentElement.hidden = $("filter").elements.range.value !== "own"; }
const events = list("events", {
  scope: ["read"],
  path: () => `/v1/events?${wanted()}`,
  cells: e => [when(e.get("timestamp")), ...["event_type", "severity", "asset_id", "source_module", "stream"].map(f => {
    const text = plain(e.get(f));
    return { text, kind: f === "severity" ? kindOf(text) : "", act: text && (() => only(f, text)), says: `Only ${f} ${text}` };
  }), { text: compact(e.get("payload")).slice(0, PAYLOAD_SHOWN), kind: "payload" }],
  open: e => showDetail(wholeEvent(e)),
  none: () => "No event matches.",
});
function loadEvents() { return Promise.all([events.load(), loadHistogram()]); }
// A value that is clicked is filtered by.
function only(name, value) { $("filter").elements[name].value = value; remember(); loadEvents(); }
const wholeEvent = async e => [...eventDetail(e), ...await relatedTo(e)];
function eventDetail(event) {
  const parts = [fields(event, ["payload", "metadata"]), el("h3", "payload"), tree(event.get("payload"))];
  if (event.get("metadata")) parts.push(el("h3", "metadata"), tree(event.get("metadata")));
  return parts;
}
async function relatedTo(event) {
  const data = (await api(`/v1/events/${event.get("id")}/related?limit=10`)).get("data");
  if (!data.length) return [];
  const related = el("dl", null, { className: "fields" });
  for (const r of data) {
    const e = r.get("event");
    related.append(el("dt", `${r.get("relation")} ${Number(r.get("strength").text).toFixed(2)}`), el("dd", `${when(e.get("timestamp"))} ${e.get("source_module")} · ${e.get("event_type")}`));
  }
  return [el("h3", "related"), relatedGraph(event, data), related];
}

const counts = { next: null, most: 0 };
async function loadCounts(goesOn = false) {
  const why = barred("read");
  if (!goesOn) { $("counts").replaceChildren(); counts.next = null; $("counts-more").hidden = true; }
  if (why) return note("counts-note", why);
  try {
    const page = await api(`/v1/events/counts?group_by=event_type&from=-24h&limit=${TYPES_SHOWN}${goesOn ? `&cursor=${encodeURIComponent(counts.next)}` : ""}`), data = page.get("data");
    if (!goesOn) counts.most = data.length ? Number(data[0].get("count").text) : 0;
    for (const c of data) {
      const li = el("li"), bar = el("i"), events = Number(c.get("count").text);
      bar.style.width = `${Math.min(100, events / counts.most * 100)}%`;
      li.append(bar, el("span", c.get("event_type")), el("span", count(events)));
      $("counts").append(li);
    }
    counts.next = page.get("next_cursor"); $("counts-more").hidden = !counts.next;
    note("counts-note", $("counts").children.length ? "" : "No event in the last 24 hours.");
  } catch (error) { note("counts-note", error.message, "bad"); }
}

async function sendTest() {
  const id = [...crypto.getRandomValues(new Uint8Array(16))].map(b => b.toString(16).padStart(2, "0")).join("");
  // Text and not JSON.stringify: the payload shows that a number comes back as it was sent.
  const body = '{"event_type":"console.test","source_module":"console","asset_id":"console","payload":{"message":"hello","exact":0.1000}}';
  try {
    const answer = await api("/v1/events", { method: "POST", body, headers: { "Content-Type": "application/json", "Idempotency-Key": `console-${id}` } });
    await loadAll();
    const spooled = answer.get("status") === "spooled";
    note("events-note", `${spooled ? "Spooled, and written later" : "Committed"}: receipt ${answer.get("receipt")}.`, spooled ? "warn" : "ok");
  } catch (error) { note("events-note", error.message, "bad"); }
}
