// Consumer groups of a stream, and the parked events of one of them.
const CHANGES_GROUPS = ["consume", "admin"];
const ofGroup = (...rest) => path("streams", chosen.stream, "groups", chosen.group.get("name"), ...rest);
function age(seconds) {
  if (seconds === null) return "–";
  const s = Number(seconds.text);
  return s < 120 ? `${s.toFixed(1)} s` : s < 7200 ? `${(s / 60).toFixed(1)} min` : s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} d`;
}
const groups = list("groups", {
  scope: ["read", "consume", "admin"],
  path: () => chosen.stream === null ? null : path("streams", chosen.stream, "groups"),
  cells: g => [g.get("name"), g.get("ordered_by") ? `in order of ${g.get("ordered_by")}` : "in no order", offset(g.get("committed")), number(g.get("lag")),
    age(g.get("oldest_unread_s")), number(g.get("members")), number(g.get("redeliveries")), number(g.get("parked")),
    { text: g.get("paused") ? `paused${g.get("paused_reason") ? `: ${g.get("paused_reason")}` : ""}` : "", kind: "warn wrap" }],
  open: g => chooseGroup(g, true),
  none: () => "This stream has no group.",
});
const parked = list("parked", {
  scope: ["read", "consume", "admin"],
  path: () => chosen.group === null ? null : ofGroup("parked"),
  cells: p => [p.get("offset").text, when(p.get("parked_at")), number(p.get("deliveries")), p.get("code") ?? "expired",
    { text: p.get("reason") ?? "", kind: "wrap" }, p.get("state") === "replaying" ? "comes again" : p.get("outcome") ?? ""],
  open: p => showDetail(parkedDetail(p)),
  none: () => "No parked event: this group passes over none.",
});
async function chooseGroup(group, moves = false) {
  if (chosen.group?.get("name") !== group?.get("name")) parked.clear("");
  chosen.group = group;
  if (moves) remember();
  $("parked-box").hidden = group === null;
  $("parked-all").replaceChildren();
  showReset();
  if (group === null) return;
  $("parked-title").textContent = `Parked events of ${group.get("name")}`;
  if (may(...CHANGES_GROUPS)) {
    const isPaused = group.get("paused");
    $("parked-all").append(
      action(isPaused ? "Resume the group" : "Pause the group", () => changed(post(ofGroup(isPaused ? "resume" : "pause")), () => isPaused ? "It is resumed." : "It is paused: nothing is handed out.")),
      action("Replay all", () => changed(pickAll("replay"), told), "Replay all: press again"),
      action("Drop all", () => changed(pickAll("drop"), told), "Drop all: press again"));
  }
  if (moves) $("parked-title").focus({ preventScroll: true });
  await parked.load();
  if (moves) $("parked-box").scrollIntoView({ block: "nearest" });
}
async function reloadGroup() {
  const before = chosen.group;
  if (before === null) return;
  const now = await api(ofGroup());
  if (chosen.group === before) await chooseGroup(now);
}
async function parkedDetail(event) {
  const parts = [];
  if (may(...CHANGES_GROUPS)) {
    const pick = what => () => changed(post(ofGroup("parked", what), `{"offsets":[${event.get("offset").text}]}`), told);
    const buttons = el("p", null, { className: "buttons" });
    buttons.append(action("Replay", pick("replay")), action("Drop", pick("drop"), "Drop it: press again"));
    parts.push(buttons, el("p", "A replay hands it out again, to this group alone.", { className: "soft" }));
  }
  parts.push(fields(event, ["event"]));
  // A list leaves out what is large.
  if (event.get("event") === null) return [...parts, ...await letterRaw(await api(path("dead-letters", event.get("id"))))];
  return [...parts, el("h3", "event, as it was parked"), el("pre", pretty(event.get("event")), { tabIndex: 0 })];
}

const told = done => done.has("replayed") ? `${count(done.get("replayed").text)} will be handed out again.` : `${count(done.get("dropped").text)} dropped.`;
// As many calls as it takes: each takes the first ones.
async function pickAll(what) {
  const name = what === "replay" ? "replayed" : "dropped";
  for (let sum = 0;;) {
    const done = await post(ofGroup("parked", what), '{"all":true}'), some = Number(done.get(name).text);
    sum += some;
    if (!some || done.get("left").text === "0") return new Map([[name, new Num(String(sum))]]);
  }
}
// What came of it, and the lists as they are now.
async function changed(done, says) {
  let text, kind = "ok";
  try { text = says(await done); } catch (error) { text = error.message; kind = "bad"; }
  try {
    await reloadGroup();
    await groups.load();
  } finally { note("parked-note", text, kind); }
}
