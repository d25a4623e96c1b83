// Times as they are shown: all of them in UTC, or all in the reader's own zone.
let local = false;
const OWN_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const zone = () => local ? OWN_ZONE : "UTC";
const two = n => String(n).padStart(2, "0");
const clock = d => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
// The other time at which the clocks here say the same, where an hour comes twice as summer time ends; null: there is none.
function twin(d) {
  for (const hours of [-24, 24]) {
    const there = new Date(d.getTime() + hours * 3600e3), other = new Date(d.getTime() + (there.getTimezoneOffset() - d.getTimezoneOffset()) * 60e3);
    if (!Number.isNaN(other.getTime()) && other.getTime() !== d.getTime() && clock(other) === clock(d)) return other;
  }
  return null;
}
const offsetOf = d => { const minutes = -d.getTimezoneOffset(), most = Math.abs(minutes); return `${minutes < 0 ? "-" : "+"}${two(Math.trunc(most / 60))}:${two(most % 60)}`; };
// The fraction is of the text: a Date has milliseconds alone. `length`: 16 without seconds, 19 without a fraction. Of an hour that comes
// twice the offset says which one it is.
function when(t, length = 23) {
  const d = local && t ? new Date(t) : null;
  if (d === null) return t.replace("T", " ").replace(/(\.\d{3})\d*/, "$1").replace("Z", "").slice(0, length);
  return (clock(d) + (/\.\d{1,3}/.exec(t)?.[0] ?? "")).slice(0, length) + (twin(d) ? ` ${offsetOf(d)}` : "");
}
// What a datetime-local field says, absolute; and the other way.
const absolute = text => new Date(local ? text : `${text}Z`).toISOString();
const inField = iso => { const d = new Date(iso); return Number.isNaN(d.getTime()) ? "" : local ? clock(d).replace(" ", "T") : d.toISOString().slice(0, 19); };
// The text of a field says less than the time that was chosen: that is kept, and counts until somebody changes the text.
function setTime(field, iso) { field.value = inField(iso); field.dataset.text = field.value; field.dataset.at = field.value && new Date(iso).toISOString(); }
const timeOf = field => field.value === field.dataset.text ? field.dataset.at : absolute(field.value);
// Beside a field whose time comes twice: which of the two it is, and a button for the other.
function showTwice(field, button) {
  const d = local && field.value ? new Date(timeOf(field)) : null, other = d && twin(d);
  button.hidden = !other;
  if (!other) return;
  button.textContent = `${field.name}: ${offsetOf(d)}, not ${offsetOf(other)}`;
  button.title = "This hour comes twice: press for the other one";
  button.onclick = () => { setTime(field, other.toISOString()); showTwice(field, button); };
}
function showZone() {
  for (const e of document.querySelectorAll(".zone")) e.textContent = zone();
  $("zone").value = local ? "local" : "utc";
  $("zone").options[1].textContent = `mine: ${OWN_ZONE}`;
}
