// What was refused or parked, and its replay.
function letterFilter() {
  const form = new FormData($("dead-filter")), params = new URLSearchParams();
  for (const name of ["stage", "code", "outcome", "from"]) if (form.get(name).trim()) params.set(name, form.get(name).trim());
  // Commas separate values.
  return params.toString().replaceAll("%2C", ",");
}
const dead = list("dead", {
  scope: ["read"],
  path: () => { const filter = letterFilter(); return `/v1/dead-letters${filter ? `?${filter}` : ""}`; },
  cells: d => [when(d.get("failed_at")), d.get("stage"), d.get("code"), { text: d.get("reason"), kind: "wrap" }, d.get("outcome") ?? ""],
  open: d => showDetail(letterDetail(d)),
  none: () => letterFilter() ? "No dead letter matches." : "None: nothing was refused.",
});
async function letterDetail(letter) {
  // A list leaves out what is larger than 64 KiB.
  if (letter.get("raw_base64") === null) letter = await api(path("dead-letters", letter.get("id")));
  return [...letter.get("stage") === "consume" ? itsGroup(letter) : replayOne(letter), fields(letter, ["raw", "raw_base64", "original_base64"]), ...letterRaw(letter)];
}
// A parked event is its group's to replay.
function itsGroup(letter) {
  const of = letter.get("parameters"), p = el("p", null, { className: "buttons" });
  p.append(action("Show its group", async () => {
    await chooseStream(of.get("stream"));
    try { await chooseGroup(await api(path("streams", of.get("stream"), "groups", of.get("group"))), true); } catch (error) { note("groups-note", error.message, "bad"); }
  }));
  return [p, el("p", `The group ${of.get("group")} of ${of.get("stream")} passes over it, and can replay it.`, { className: "soft" })];
}
function replayOne(letter) {
  if (!may("admin")) return [];
  const buttons = el("p", null, { className: "buttons" }), said = el("p", "Sends it again, by the rules of now.", { className: "soft", role: "status" });
  const again = action("Replay", async () => {
    try {
      const done = await post(path("dead-letters", letter.get("id"), "replay"));
      said.textContent = `Stored at ${when(done.get("replayed_at") ?? "")}.`; said.className = "ok";
      again.remove();
    } catch (error) { said.textContent = error.message; said.className = "bad"; }
    dead.load();
  });
  if (letter.get("outcome") === "stored") said.textContent = "It was replayed, and is stored."; else buttons.append(again);
  return [buttons, said];
}

// Those that the filter finds and that are not stored: first how many they are.
function showReplayAll() {
  $("dead-all").replaceChildren();
  if (!may("admin")) return;
  const said = el("span", "", { className: "soft", role: "status" });
  const say = (text, kind = "soft") => { said.textContent = text; said.className = kind; };
  const ask = (more = "") => post(`/v1/dead-letters/replay?${[letterFilter(), more].filter(Boolean).join("&")}`);
  const go = action("Replay what the filter finds", async () => {
    try {
      const left = (await ask("dry_run=1")).get("left").text;
      if (left === "0") return say("It finds none that could be replayed.");
      const sure = action(`Replay ${count(left)}`, () => replayAll(ask, say).then(() => { sure.replaceWith(go); goOn(go, $("dead-all")); dead.load(); }));
      go.replaceWith(sure); goOn(sure, $("dead-all"));
      sure.addEventListener("blur", () => { if (!sure.disabled && sure.isConnected) sure.replaceWith(go); });
      say("Each is stored once, by the rules of now.");
    } catch (error) { say(error.message, "bad"); }
  });
  $("dead-all").append(go, said);
}
async function replayAll(ask, say) {
  const sums = { stored: 0, failed: 0, refused: 0 };
  const told = left => `${count(sums.stored)} stored, ${count(sums.failed)} failed again, ${count(sums.refused)} cannot be replayed${left ? `; ${count(left)} left` : "."}`;
  try {
    for (let cursor = null;;) {
      const done = await ask(cursor ? `cursor=${encodeURIComponent(cursor)}` : "");
      for (const name in sums) sums[name] += Number(done.get(name).text);
      cursor = done.get("next_cursor");
      if (!cursor) return say(told(0), sums.failed + sums.refused ? "warn" : "ok");
      say(told(done.get("left").text));
    }
  } catch (error) { say(`${told(0)} Then: ${error.message}`, "bad"); }
}
