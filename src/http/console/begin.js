// What the page does at first, and when something on it is used.
async function loadAll() {
  showKey();
  await loadScopes();
  $("send").hidden = !may("ingest");
  showReplayAll();
  // What stands alone needs nothing of the others.
  if (STANDS_ALONE.includes(view)) return ALONE[view].load();
  await Promise.all([loadEvents(), dead.load(), loadCounts(), loadCatalog(), correlations.load(), loadStreams(), ALONE[view]?.load()]);
}
// With another key nothing is left of what the one before showed.
function loadAnew() {
  for (const shown of [events, dead, correlations, streams]) shown.clear("");
  for (const alone in ALONE) ALONE[alone].clear();
  $("detail").replaceChildren(); clearHistogram(""); clearChart(""); chooseStream(null); askedFor = null; loadAll();
}
$("key-form").onsubmit = e => { e.preventDefault(); const given = $("key").value.trim(); if (given) sessionStorage.setItem("key", given); loadAnew(); };
$("sign-in").onsubmit = e => { e.preventDefault(); signIn(e.target); };
$("sign-out").onclick = signOut;
$("forget").onclick = () => { sessionStorage.removeItem("key"); loadAnew(); };
$("series").onsubmit = e => { e.preventDefault(); seriesChosen = false; remember(); loadCatalog(); };
$("series").elements.series.onchange = () => { seriesChosen = true; remember(); loadPoints(); };
$("series").elements.range.onchange = () => { const form = $("series").elements; form.from.value = form.to.value = ""; remember(); loadPoints(); };
for (const name of ["compare", "bands", "draw"]) $("series").elements[name].onchange = () => { remember(); loadPoints(); };
$("series-add").onclick = addSeries; $("chart").onkeydown = chartKey; $("chart").onblur = () => note("chart-note", "");
for (const button of $("chart-looks").querySelectorAll("button")) button.onclick = LOOKS[button.dataset.look];
$("series-more").onclick = () => loadCatalog(true);
$("filter").onsubmit = e => { e.preventDefault(); remember(); loadEvents(); };
$("pairs-filter").onsubmit = e => { e.preventDefault(); remember(); correlations.load(); };
for (const format in FORMATS) $(`export-${format}`).onclick = () => exportEvents(format);
$("histogram").onkeydown = moveBar; $("histogram").onpointerleave = () => { if (histogram.bars.length) tellBar(-1); };
$("filter").elements.range.onchange = showRange;
for (const name of ["from", "to"]) $("filter").elements[name].oninput = showRange;
$("dead-filter").onsubmit = e => { e.preventDefault(); remember(); showReplayAll(); dead.load(); };
$("reset").onsubmit = e => { e.preventDefault(); lookAtReset(); };
$("reset").oninput = () => { showPlace(); sayReset(""); };
$("streams-refresh").onclick = loadStreams; $("counts-more").onclick = () => loadCounts(true);
$("refresh").onclick = loadAll; $("send").onclick = sendTest;
$("zone").onchange = switchZone;
document.onkeydown = e => { if (e.key === "Escape" && $("detail-box").classList.contains("open")) $("detail").querySelector("button")?.click(); else step(e); };
window.onhashchange = () => { if (takeKeyFromAddress()) loadAnew(); else restore(); };
takeKeyFromAddress(); restore(); poll(); setInterval(poll, POLL_MS); setInterval(groups.renew, POLL_MS);
fetch("/healthz").then(a => a.json()).then(h => { $("version").textContent = h.version; }, () => {});
