// What the filter of events finds, all of it, as a file.
const FORMATS = { csv: "text/csv", ndjson: "application/x-ndjson" };
async function exportEvents(format) {
  const why = barred("read");
  if (why) return note("events-note", why);
  // A table of a spreadsheet takes text that begins with = for a formula: that is put out of action.
  const asked = [wanted(), ...(format === "csv" ? ["csv=safe"] : [])].filter(Boolean).join("&");
  note("events-note", "Loading all that match …");
  try {
    const answer = await fetch(`/v1/events?${asked}`, { cache: "no-store", headers: { Accept: FORMATS[format], ...(key() && { Authorization: `Bearer ${key()}` }) } });
    if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
    // A stream that breaks off fails here, and no part of it is kept.
    const file = await answer.blob(), link = el("a", null, { href: URL.createObjectURL(file), download: `events.${format}` });
    link.click();
    URL.revokeObjectURL(link.href);
    note("events-note", `events.${format}: ${count(file.size)} bytes.`, "ok");
  } catch (error) { note("events-note", `The file is not whole, and not saved: ${error.message}`, "bad"); }
}
