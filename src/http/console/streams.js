// Streams; the groups of one are shown below it.
const chosen = { stream: null, group: null };
const streams = list("streams", {
  scope: ["read", "consume"],
  path: () => path("streams"),
  cells: s => [s.get("name"), offset(s.get("begin")), offset(s.get("end")), s.get("oldest") ? when(s.get("oldest")) : "expired", when(s.get("newest"))],
  open: s => chooseStream(s.get("name")),
  none: () => "No stream yet: each is there once an event of it is stored.",
});
async function chooseStream(name) {
  chosen.stream = name;
  chooseGroup(null);
  $("groups-box").hidden = name === null;
  if (name === null) return;
  $("groups-title").textContent = `Groups of ${name}`;
  await groups.load();
  $("groups-title").focus({ preventScroll: true });
  $("groups-box").scrollIntoView({ block: "nearest" });
}
async function loadStreams() {
  await streams.load();
  if (chosen.stream !== null) await groups.load();
  if (chosen.group === null) return;
  try { await chooseGroup(await api(ofGroup())); } catch { chooseGroup(null); }
}
