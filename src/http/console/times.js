// Times as they are shown: all of them in UTC, or all in the reader's own zone.
let local = false;
const OWN_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const zone = () => local ? OWN_ZONE : "UTC";
const two = n => String(n).padStart(2, "0");
const clock = d => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
// The fraction is of the text: a Date has milliseconds alone.
const when = t => local && t ? clock(new Date(t)) + (/\.\d{1,3}/.exec(t)?.[0] ?? "") : t.replace("T", " ").replace(/(\.\d{3})\d*/, "$1").replace("Z", "");
// What a datetime-local field says, absolute; and the other way.
const absolute = text => new Date(local ? text : `${text}Z`).toISOString();
const inField = iso => { const d = new Date(iso); return Number.isNaN(d.getTime()) ? "" : local ? clock(d).replace(" ", "T") : d.toISOString().slice(0, 19); };
function showZone() {
  for (const e of document.querySelectorAll(".zone")) e.textContent = zone();
  $("zone").value = local ? "local" : "utc";
  $("zone").options[1].textContent = `mine: ${OWN_ZONE}`;
}
