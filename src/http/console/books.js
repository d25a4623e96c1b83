// Readiness and the books.
const BOOKS = [["received", "Received", "_total"], ["committed", "Committed", "_total"], ["dead_lettered", "Dead-lettered", "_total"],
  ["deduplicated", "Deduplicated", "_total"], ["refused", "Refused", "_total"], ["spooled", "In the spool", ""], ["in_flight", "In flight", ""]];
const tiles = {};
for (const [name, title] of [...BOOKS, ["rate", "Committed/s"]]) {
  const tile = el("div");
  tile.append(el("dt", title), tiles[name] = el("dd", "–"));
  $("books").append(tile);
}
let last = null;
async function poll() {
  if (document.hidden) return;
  try {
    const [ready, text] = await Promise.all([fetch("/readyz", asSeen()), scrape()]);
    const state = await ready.json(), now = performance.now();
    $("ready").textContent = state.status === "degraded" ? `● ready, spooling: ${state.reason}` : ready.ok ? "● ready" : `● not ready: ${state.reason || ready.status}`;
    $("ready").className = `state ${state.status === "degraded" ? "warn" : ready.ok ? "ok" : "bad"}`;
    const values = Object.fromEntries([...text.matchAll(/^(tidegate_\w+) (\S+)$/gm)].map(m => [m[1], Number(m[2])]));
    const found = Object.fromEntries(BOOKS.map(([name, , end]) => [name, values[`tidegate_items_${name}${end}`] || 0]));
    for (const name in found) tiles[name].textContent = found[name].toLocaleString("en");
    if (last && found.committed >= last.committed) tiles.rate.textContent = Math.round((found.committed - last.committed) / (now - last.at) * 1000).toLocaleString("en");
    last = { at: now, committed: found.committed };
    const { received, ...ends } = found;
    const balanced = received + (values.tidegate_items_recovered_from_spool_total || 0) === Object.values(ends).reduce((a, b) => a + b, 0);
    note("books-note", balanced ? "Received, and what an earlier run left in the spool, is the sum of the others: no item is unaccounted for." : "The counters do not add up: an item is unaccounted for.", balanced ? "soft" : "bad");
    tellOverview(state, text, now);
  } catch {
    $("ready").textContent = "● the server does not answer"; $("ready").className = "state bad"; last = null; tiles.rate.textContent = "–";
    note("overview-note", "The server does not answer: what is below was so before. See docs/runbook/TidegateDown.md.", "bad");
  }
}

