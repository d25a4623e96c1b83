// What the page does at first, and when something on it is used.
async function loadAll() {
  showKey();
  await loadScopes();
  $("send").hidden = !may("ingest");
  showReplayAll();
  await Promise.all([events.load(), dead.load(), loadCounts(), loadCatalog(), correlations.load(), loadStreams()]);
}
// With another key nothing is left of what the one before showed.
function loadAnew() {
  for (const shown of [events, dead, correlations, streams]) shown.clear("");
  $("detail").replaceChildren(); chooseStream(null); loadAll();
}
$("key-form").onsubmit = e => { e.preventDefault(); const given = $("key").value.trim(); if (given) sessionStorage.setItem("key", given); loadAnew(); };
$("sign-in").onsubmit = e => { e.preventDefault(); signIn(e.target); };
$("sign-out").onclick = signOut;
$("forget").onclick = () => { sessionStorage.removeItem("key"); loadAnew(); };
$("series").onsubmit = e => { e.preventDefault(); loadCatalog(); };
$("series").elements.series.onchange = $("series").elements.range.onchange = () => loadPoints();
$("series-more").onclick = () => loadCatalog(true);
$("filter").onsubmit = e => { e.preventDefault(); events.load(); };
$("filter").elements.range.onchange = e => { for (const name of ["from", "to"]) $("filter").elements[name].parentElement.hidden = e.target.value !== "own"; };
$("dead-filter").onsubmit = e => { e.preventDefault(); showReplayAll(); dead.load(); };
$("reset").onsubmit = e => { e.preventDefault(); lookAtReset(); };
$("reset").oninput = () => { showPlace(); sayReset(""); };
$("streams-refresh").onclick = loadStreams; $("counts-more").onclick = () => loadCounts(true);
$("refresh").onclick = loadAll; $("send").onclick = sendTest;
window.onhashchange = () => { if (takeKeyFromAddress()) loadAnew(); };
takeKeyFromAddress(); loadAll(); poll(); setInterval(poll, POLL_MS); setInterval(groups.renew, POLL_MS);
fetch("/healthz").then(a => a.json()).then(h => { $("version").textContent = h.version; }, () => {});
