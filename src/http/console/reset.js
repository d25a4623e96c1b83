// A group put somewhere else: first how many events that is.
let resetOf = null;
function showReset() {
  const form = $("reset"), name = chosen.group?.get("name") ?? null;
  form.hidden = name === null || !may(...CHANGES_GROUPS);
  // What was asked of a group holds for that one.
  if (resetOf === name) return;
  resetOf = name;
  form.reset(); showPlace(); sayReset("");
}
function showPlace() {
  const form = $("reset");
  for (const name of ["timestamp", "offset"]) form.elements[name].parentElement.hidden = form.elements.to.value !== name;
  $("reset-sure").replaceChildren();
}
function sayReset(text, kind = "soft") { note("reset-note", text, kind); }
// As the server takes it: numbers go as they were written.
function place() {
  const { to, timestamp, offset } = Object.fromEntries(new FormData($("reset")));
  if (to === "timestamp") return JSON.stringify({ timestamp: timestamp.trim() });
  if (to !== "offset") return JSON.stringify({ to });
  if (!/^\d+$/.test(offset.trim())) throw new Error("An offset is a whole number.");
  return `{"offset":${offset.trim()}}`;
}
const passes = done => `${count(done.get("again").text)} events come again, ${count(done.get("skipped").text)} are passed over`;
async function lookAtReset() {
  $("reset-sure").replaceChildren();
  const of = resetOf;
  try {
    const where = place(), url = ofGroup("reset"), dry = await post(`${url}?dry_run=1`, where);
    if (of !== resetOf) return;
    const sure = action(`Put it to ${dry.get("to").text}`, async () => {
      let text, kind = "ok";
      try {
        const done = await post(url, where);
        text = `It is at ${done.get("to").text}: ${passes(done)}.`;
      } catch (error) { text = error.message; kind = "bad"; }
      $("reset-sure").replaceChildren();
      try { await reloadGroup(); await groups.load(); } finally { sayReset(text, kind); goOn($("reset").elements.to, $("reset").parentElement); }
    });
    $("reset-sure").append(sure);
    sayReset(`From ${dry.get("from").text} to ${dry.get("to").text}: ${passes(dry)}. What its members hold now is acknowledged in vain.`);
    goOn(sure, $("reset").parentElement);
  } catch (error) { if (of === resetOf) sayReset(error.message, "bad"); }
}
