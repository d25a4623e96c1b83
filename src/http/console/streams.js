// Streams; the groups of one are shown below it.
const chosen = { stream: null, group: null };
// One that was made, and that no event has come to yet.
const hadNone = s => s.get("end").text === "0";
const streams = list("streams", {
  scope: ["read", "consume"],
  path: () => path("streams"),
  cells: s => [s.get("name"), offset(s.get("begin")), offset(s.get("end")), s.get("oldest") ? when(s.get("oldest")) : hadNone(s) ? "–" : "expired", s.get("newest") ? when(s.get("newest")) : "–"],
  open: s => chooseStream(s.get("name")),
  none: () => "No stream yet: each is there once an event of it is stored.",
});
async function chooseStream(name, moves = true) {
  chosen.stream = name;
  groups.clear(""); chooseGroup(null);
  $("groups-box").hidden = name === null;
  if (name === null) return;
  $("groups-title").textContent = `Groups of ${name}`;
  // Before it is loaded: who has gone on meanwhile is not called back.
  if (moves) { remember(); $("groups-title").focus({ preventScroll: true }); }
  await groups.load();
  if (moves) $("groups-box").scrollIntoView({ block: "nearest" });
}
// As they are now. What somebody chooses meanwhile is loaded by that, and stays as it is.
async function loadStreams() {
  const { stream, group } = chosen;
  await streams.load();
  if (stream === null || chosen.stream !== stream) return;
  await groups.load();
  if (group === null || chosen.group !== group) return;
  try { await reloadGroup(); } catch { if (chosen.group === group) chooseGroup(null); }
}
