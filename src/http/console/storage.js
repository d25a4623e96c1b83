// What is stored: chunks or partitions with their sizes, how long they are kept, how the database grows and when its disk is full; and
// what looks after it.
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"], FAR_DAYS = 3650;
function sizeText(bytes) {
  const n = Number(bytes.text), unit = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, Math.abs(n))) / 10)));
  return `${unit ? (n / 1024 ** unit).toFixed(1) : n} ${UNITS[unit]}`;
}
// Of a time span: in the largest unit that it is whole in.
const spanOf = s => [[86400, "d"], [3600, "h"], [60, "min"]].filter(([unit]) => s % unit === 0).map(([unit, name]) => `${s / unit} ${name}`)[0] ?? `${s} s`;
const spanText = (seconds, none) => seconds === null ? none : seconds.text === "0" ? "at once" : spanOf(Number(seconds.text));
const shortTime = at => at ? when(at, 19) : "–";
function fillTable(id, items, cells, open) {
  const table = $(id);
  table.tBodies[0].replaceChildren(...items.map(item => row(cells(item), tr => { mark(tr); open(item); })));
  table.hidden = !items.length;
}
async function loadStorage() {
  const why = barred("admin");
  if (why) return clearStorage(why);
  try { showStorage(await api("/v1/lifecycle")); } catch (error) { clearStorage(error.message, "bad"); }
}
function clearStorage(text = "", kind = "soft") {
  for (const id of ["relations", "rollups", "jobs"]) fillTable(id, []);
  $("growth").replaceChildren(); $("sizes").replaceChildren();
  note("storage-note", text, kind);
}
function showStorage(status) {
  const relations = status.get("relations"), kept = status.get("engine") === "timescale" ? "chunks" : "partitions";
  const sum = name => relations.reduce((all, r) => all + Number(r.get(name).text), 0);
  note("storage-note", `${several(sum("chunks"), kept.slice(0, -1))} of ${several(relations.length, "relation")}, ${sizeText(new Num(String(sum("bytes"))))} now; ${count(sum("open"))} still written to, ${count(sum("waiting"))} wait to be compressed or put in order, ${count(sum("expired"))} to be dropped.`);
  showGrowth(status.get("growth"));
  const most = Math.max(1, ...relations.map(r => Number(r.get("bytes").text)));
  $("sizes").replaceChildren(...[...relations].sort((a, b) => Number(b.get("bytes").text) - Number(a.get("bytes").text)).map(r => {
    const li = el("li"), bar = el("i");
    bar.style.width = `${Number(r.get("bytes").text) / most * 100}%`;
    li.append(bar, el("span", r.get("relation")), el("span", sizeText(r.get("bytes"))));
    return li;
  }));
  const right = text => ({ text, kind: "number" });
  fillTable("relations", relations, r => [r.get("relation"), number(r.get("chunks")), number(r.get("open")), number(r.get("compressed")), number(r.get("waiting")), right(sizeText(r.get("bytes"))),
    right(r.get("compression_ratio") === null ? "–" : `${Number(r.get("compression_ratio").text).toFixed(1)} : 1`), spanText(r.get("keep_s"), "forever"), spanText(r.get("compress_after_s"), "never"), shortTime(r.get("oldest")), shortTime(r.get("newest"))],
  r => showDetail(relationDetail(r, kept)));
  fillTable("rollups", status.get("rollups"), r => [r.get("relation"), spanOf(Number(r.get("bucket_s").text)), shortTime(r.get("stored_until")), age(r.get("lag_s")), number(r.get("waiting"))], r => showDetail([fields(r, [])]));
  fillTable("jobs", status.get("jobs"), j => [j.get("job"), j.get("by"), j.get("failing") ? { text: "failing", kind: "bad" } : j.get("last_run") ? "well" : "not yet run", shortTime(j.get("last_run")), shortTime(j.get("next_run")), number(j.get("runs")), number(j.get("failures")), { text: j.get("last_error") ?? "", kind: "wrap" }],
    j => showDetail([fields(j, ["counts"]), el("h3", "what its last run did"), tree(j.get("counts"))]));
}
function relationDetail(r, kept) {
  const said = fields(new Map([...r].map(([name, v]) => [name, v instanceof Num && name.startsWith("bytes") ? sizeText(v) : name.endsWith("_s") && v !== null ? spanOf(Number(v.text)) : v])), []);
  const ratio = kept === "partitions" ? "Native partitions have no columnstore." : r.get("compression_ratio") === null ? "No closed chunk in the columnstore is large enough to tell its ratio." : "The ratio is of a sample: what the rows of the newest closed chunks would take, to what they take.";
  return [said, el("p", ratio, { className: "soft" })];
}
function showGrowth(growth) {
  const tile = (title, text, kind = "") => { const box = el("div"); box.append(el("dt", title), el("dd", text, { className: kind })); return box; };
  if (growth === null) return $("growth").replaceChildren(tile("Growth", "not known yet: sizes are noted once a day", "said"));
  const rate = growth.get("bytes_per_day"), free = growth.get("disk_free_bytes"), left = growth.get("disk_full_in_days");
  const full = () => {
    if (left === null) return [free === null ? "not seen from here: the database is an external one" : rate === null ? "known tomorrow" : "never: it does not grow", "said"];
    const n = Number(left.text), soon = n < 30 ? "bad" : n < 90 ? "warn" : "";
    return n > FAR_DAYS ? ["in more than ten years", "said"] : [`${when(instant(Date.now() + n * 86400e3)).slice(0, 10)}, in ${several(Math.floor(n), "day")}`, soon];
  };
  $("growth").replaceChildren(
    tile("Database, as noted last", sizeText(growth.get("bytes"))),
    rate === null ? tile("A day", "known tomorrow", "said") : tile(`A day, over ${several(Math.round(Number(growth.get("days").text)), "day")}`, `${Number(rate.text) < 0 ? "−" : "+"}${sizeText(new Num(String(Math.abs(Math.round(Number(rate.text))))))}`),
    ...(growth.get("mostly") && Number(rate?.text) > 0 ? [tile("Mostly", growth.get("mostly"))] : []),
    tile("Free on its disk", free === null ? "–" : sizeText(free)),
    tile("At this rate its disk is full", ...full()));
}
$("storage-refresh").onclick = () => loadStorage();
