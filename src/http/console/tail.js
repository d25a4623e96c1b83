// A stream as it comes: Server-Sent Events, opened by a ticket since EventSource sends no headers. The newest rows are kept, and no more;
// while it is paused what comes is held back, and the newest of it shown when it goes on.
const TAIL_ROWS = 200, TAIL_AGAIN_MS = 1000;
const tail = { turn: 0, stream: null, source: null, last: null, paused: false, held: [], drawing: 0, came: 0 };
const tailSays = (text, kind = "soft") => note("tail-note", text, kind);
function tellTail() {
  const held = tail.paused && tail.held.length ? `; ${count(tail.held.length)} held back` : "";
  $("tail-count").textContent = tail.stream === null ? "" : `${several(tail.came, "event")} came, the newest ${TAIL_ROWS} are kept${held}`;
}
function stopTail(text = "") {
  tail.turn++;
  tail.source?.close();
  Object.assign(tail, { stream: null, source: null, last: null, held: [], came: 0 });
  pauseTail(false);
  for (const id of ["tail-pause", "tail-stop"]) $(id).hidden = true;
  tailSays(text); tellTail();
}
function clearTail() { stopTail(); $("tail-rows").tBodies[0].replaceChildren(); $("tail-rows").hidden = true; }
function pauseTail(paused) {
  tail.paused = paused;
  $("tail-pause").textContent = paused ? "Go on" : "Pause";
  if (tail.stream === null) return;
  tailSays(paused ? "Paused." : `Following ${tail.stream}.`, paused ? "warn" : "ok");
  if (!paused) drawTail();
}
function followTail(stream) {
  clearTail();
  tail.stream = stream;
  for (const id of ["tail-pause", "tail-stop"]) $(id).hidden = false;
  tailSays("Connecting …"); tellTail();
  return openTail(tail.turn);
}
const isPassing = error => !error.status || error.status === 429 || error.status >= 500;
// What passes is tried again from where it was; what does not is the end of it.
function againTail(mine, error) {
  if (mine !== tail.turn) return;
  if (error && !isPassing(error)) { stopTail(); return tailSays(error.message, "bad"); }
  tailSays(`Connecting again${error ? `: ${error.message}` : " …"}`, "warn");
  setTimeout(() => { if (mine === tail.turn) openTail(mine); }, TAIL_AGAIN_MS);
}
async function openTail(mine) {
  let url, opened = false;
  try { url = (await post(path("streams", tail.stream, "tickets"))).get("url"); } catch (error) { return againTail(mine, error); }
  if (mine !== tail.turn) return;
  const source = tail.source = new EventSource(`${url}&${tail.last ? `cursor=${encodeURIComponent(tail.last)}` : "offset=latest"}`);
  source.onopen = () => { opened = true; if (!tail.paused) tailSays(`Following ${tail.stream}.`, "ok"); };
  source.onmessage = ({ data, lastEventId }) => { tail.last = lastEventId; comeTail(parse(data)); };
  source.addEventListener("problem", ({ data }) => { const problem = parse(data); stopTail(); tailSays(`${problem.get("code")}: ${problem.get("detail")}`, "bad"); });
  source.onerror = async () => {
    if (mine !== tail.turn) return;
    // It connects again by itself, until it is refused; then it does not say why.
    if (source.readyState !== EventSource.CLOSED) return tailSays("Connecting again …", "warn");
    let why = null;
    if (!opened) try { await api(`${url}&limit=1${tail.last ? `&cursor=${encodeURIComponent(tail.last)}` : ""}`); } catch (error) { if (error.status !== 401) why = error; }
    againTail(mine, why);
  };
}
function comeTail(event) {
  tail.came++;
  tail.held.push(event);
  if (tail.held.length > TAIL_ROWS) tail.held.shift();
  // With the next frame, however many come until then.
  if (!tail.drawing) tail.drawing = requestAnimationFrame(drawTail);
}
function drawTail() {
  tail.drawing = 0;
  tellTail();
  if (tail.paused) return;
  const table = $("tail-rows"), body = table.tBodies[0];
  for (const e of tail.held.splice(0)) {
    const cells = [e.get("offset").text, when(e.get("timestamp")), e.get("event_type"), { text: e.get("severity"), kind: kindOf(e.get("severity")) }, e.get("asset_id"), e.get("source_module"), { text: compact(e.get("payload")).slice(0, PAYLOAD_SHOWN), kind: "payload" }];
    body.prepend(row(cells, tr => { mark(tr); showDetail(wholeEvent(e)); }));
  }
  while (body.rows.length > TAIL_ROWS) body.lastElementChild.remove();
  table.hidden = !body.rows.length;
}
// As the address says; what is followed already goes on.
async function loadTail() {
  const stream = $("tail").elements.stream.value.trim() || null, why = barred("read", "consume");
  if (why) { clearTail(); return tailSays(why); }
  if (stream !== tail.stream) { if (stream === null) clearTail(); else followTail(stream); }
  try {
    const names = (await api("/v1/streams?limit=1000")).get("data").map(s => s.get("name"));
    $("tail-streams").replaceChildren(...names.map(name => el("option", null, { value: name })));
  } catch { /* They are only offered. */ }
}
$("tail").onsubmit = e => { e.preventDefault(); remember(); followTail($("tail").elements.stream.value.trim()); };
$("tail-pause").onclick = () => pauseTail(!tail.paused);
$("tail-stop").onclick = () => { stopTail("Stopped."); $("tail").reset(); remember(); $("tail").elements.stream.focus(); };
