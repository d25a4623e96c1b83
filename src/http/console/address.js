// What is shown, in the address: a link shows somebody else the same, and back goes back. `#VIEW?…`, where VIEW is one of the
// page's parts, or `all`; each part's fields are there under a letter of its own, where they are not as at first.
const FORMS = { e: "filter", m: "series", c: "pairs-filter", d: "dead-filter", o: "admin-filter", a: "audit-filter", i: "inventory-filter", t: "tail" };
const PARTS = { all: "emcds", overview: "", events: "et", metrics: "m", correlations: "c", streams: "s", dead: "d", admin: "oa", inventory: "i", storage: "" };
// `choices` counts what was chosen: what comes of an older address is not shown over it.
let view = "all", restoring = false, choices = 0;

const atFirst = field => field.options ? ([...field.options].find(o => o.defaultSelected) ?? field.options[0])?.value : field.defaultValue;
const isTime = field => field.type === "datetime-local";
function addressOf(shown) {
  const params = new URLSearchParams();
  for (const part of PARTS[shown]) {
    if (part === "s") {
      if (chosen.stream !== null) params.set("s.stream", chosen.stream);
      if (chosen.group !== null) params.set("s.group", chosen.group.get("name"));
    } else for (const field of $(FORMS[part]).elements) {
      const chosenSeries = field.name === "series" && seriesChosen;
      // Absolute, whatever the zone of the one who follows it.
      if (field.name && field.value && (chosenSeries || field.value !== atFirst(field))) params.set(`${part}.${field.name}`, isTime(field) ? absolute(field.value) : field.value);
    }
  }
  if (local) params.set("tz", "local");
  const text = params.toString();
  return `#${shown}${text ? `?${text}` : ""}`;
}
function showLinks() { for (const a of document.querySelectorAll("nav a")) a.setAttribute("href", addressOf(a.dataset.to)); }
// After something was chosen: a step that back undoes.
function remember() {
  choices++; restoring = false; showLinks();
  const now = addressOf(view);
  if (location.hash !== now) history.pushState(null, "", now);
}
function showView() {
  const main = document.querySelector("main");
  // What was chosen in another view is put away with it, and so is a secret that was shown once.
  if (main.dataset.view !== view) clearDetail();
  if (view !== "events") stopTail();
  main.dataset.view = view;
  for (const s of document.querySelectorAll("main > section")) s.hidden = (view !== "all" || "alone" in s.dataset) && !s.dataset.in.split(" ").includes(view);
  for (const a of document.querySelectorAll("nav a")) if (a.dataset.to === view) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current");
}
function fillForms(params) {
  for (const part in FORMS) if (PARTS[view].includes(part)) for (const field of $(FORMS[part]).elements) {
    if (!field.name) continue;
    const given = params.get(`${part}.${field.name}`);
    if (field.name === "series") { if (given) chooseSeries(given); } else field.value = given === null ? atFirst(field) : isTime(field) ? inField(given) : given;
  }
  showRange();
}
async function restore() {
  const [name, text = ""] = location.hash.slice(1).split("?"), params = new URLSearchParams(text);
  view = name in PARTS ? name : "all"; local = params.get("tz") === "local";
  const mine = ++choices, ofStreams = PARTS[view].includes("s");
  restoring = true;
  showZone(); showView(); fillForms(params); closeDetail();
  if (ofStreams && !params.has("s.stream") && chosen.stream !== null) chooseStream(null, false);
  showLinks();
  await loadAll();
  if (ofStreams && params.has("s.stream") && mine === choices) await showChosen(params.get("s.stream"), params.get("s.group"), mine);
  if (mine === choices) { restoring = false; showLinks(); }
}
// What the address says of streams; what is shown already stays.
async function showChosen(stream, group, mine) {
  if (chosen.stream !== stream) await chooseStream(stream, false);
  if ((chosen.group?.get("name") ?? null) === group) return;
  try {
    const found = group === null ? null : await api(path("streams", stream, "groups", group));
    if (mine === choices) await chooseGroup(found);
  } catch (error) { if (mine === choices) note("groups-note", error.message, "bad"); }
}
function switchZone() {
  const fields = [...$("filter").elements].filter(isTime), times = fields.map(f => f.value && absolute(f.value));
  local = $("zone").value === "local";
  fields.forEach((f, n) => { f.value = times[n] && inField(times[n]); });
  showZone(); closeDetail(); remember();
  loadAll();
}
