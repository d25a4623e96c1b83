// A list of the API in the table of this id, page by page. `path` says what to ask for, or null where nothing is chosen; `cells`
// are the texts of a row, or { text, kind } with a class; `open` is what the button does that is a row's first cell; `shown`
// is told all that is shown.
function list(id, { scope, path, cells, open, none, shown = () => {} }) {
  const table = $(id), more = $(`${id}-more`), rows = table.tBodies[0];
  let turn = 0, asked = null, next = null, items = [];
  function clear(text, kind) { turn++; shown(items = []); rows.replaceChildren(); table.hidden = more.hidden = true; note(`${id}-note`, text, kind); }
  async function load(goesOn = false) {
    const why = barred(...scope);
    if (why) return clear(why);
    if (!goesOn) { asked = path(); next = null; }
    if (asked === null) return clear("");
    const mine = ++turn;
    if (!rows.rows.length) note(`${id}-note`, "Loading …");
    try {
      const page = await api(`${asked}${asked.includes("?") ? "&" : "?"}limit=${PAGE}${next ? `&cursor=${encodeURIComponent(next)}` : ""}`);
      // What was asked for since counts.
      if (mine !== turn) return;
      const hold = holdPlace(rows);
      if (!goesOn) { rows.replaceChildren(); items = []; }
      shown(items = [...items, ...page.get("data")]);
      for (const item of page.get("data")) rows.append(row(cells(item), tr => { mark(tr); open(item); }));
      hold();
      next = page.get("next_cursor");
      table.hidden = !rows.rows.length; more.hidden = !next;
      note(`${id}-note`, rows.rows.length ? (next ? `${rows.rows.length} shown, more are there.` : `${rows.rows.length} shown.`) : none());
    } catch (error) {
      if (mine !== turn) return;
      if (goesOn) note(`${id}-note`, error.message, "bad"); else clear(error.message, "bad");
    }
  }
  // What the rows that are shown say now, by their first cells: nothing moves under somebody's hands.
  async function renew() {
    if (table.hidden || document.hidden || asked === null) return;
    const mine = turn;
    let page;
    try { page = await api(`${asked}${asked.includes("?") ? "&" : "?"}limit=${Math.min(1000, rows.rows.length)}`); } catch { return; }
    if (mine !== turn) return;
    const shown = new Map([...rows.rows].map(tr => [tr.cells[0].textContent, tr]));
    for (const item of page.get("data")) {
      const texts = cells(item), tr = shown.get(texts[0]);
      texts.forEach((cell, n) => { if (tr && n) fill(tr.cells[n], cell); });
    }
  }
  more.onclick = () => load(true);
  return { load, clear, renew };
}

// Where somebody is in a table whose rows are made again: afterwards at the same place of the same row, if it is there still.
function holdPlace(rows) {
  const at = rows.contains(document.activeElement) ? document.activeElement.closest("td") : null;
  const [here, marked] = [at?.parentElement, rows.querySelector("[aria-current]")].map(tr => tr?.textContent);
  return () => {
    const again = text => text === undefined ? null : [...rows.rows].find(tr => tr.textContent === text);
    if (again(marked)) mark(again(marked));
    if (at && !at.isConnected) again(here)?.cells[at.cellIndex].querySelector("button")?.focus({ preventScroll: true });
  };
}

function row(cells, open) {
  const tr = el("tr");
  cells.forEach((cell, n) => {
    const td = el("td");
    fill(td, cell);
    if (!n) {
      const button = el("button", td.textContent, { type: "button" });
      // Not every browser gives the focus to what is pressed, and the way back is to it.
      button.onclick = () => { button.focus({ preventScroll: true }); open(tr); };
      td.replaceChildren(button);
    }
    else if (cell?.act) {
      // By arrows from the row's first: each of them a stop of the tabulator would be too many.
      const button = el("button", cell.text, { type: "button", className: "value", tabIndex: -1, title: cell.says });
      button.onclick = cell.act;
      td.replaceChildren(button);
    }
    tr.append(td);
  });
  return tr;
}
function fill(td, cell) {
  const { text, kind } = cell instanceof Object ? cell : { text: cell ?? "", kind: "" };
  if (td.textContent !== text) td.textContent = text;
  td.title = text; td.className = kind;
}
function mark(tr) {
  for (const other of tr.parentElement.rows) other.removeAttribute("aria-current");
  tr.setAttribute("aria-current", "true");
}
const offset = value => ({ text: value.text, kind: "number" });
const number = value => ({ text: value === null ? "–" : count(value.text), kind: "number" });

function closeDetail() { $("detail-box").classList.remove("open"); }
function clearDetail() { closeDetail(); $("detail").replaceChildren(el("p", "Choose something by its first column.", { className: "soft" })); }
// Where somebody came from; a list that was loaded meanwhile has another button with the same text.
function backTo(from, table) {
  if (from.isConnected) return from.focus();
  [...$(table)?.querySelectorAll("td:first-child button") ?? []].find(b => b.textContent === from.textContent)?.focus();
}
// The rows of a table by arrows, and what can be pressed in one.
function step(e) {
  const by = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[e.key], button = e.target.closest("td button");
  const next = by && button && button.closest("tr")[by]?.querySelector("button");
  const along = { ArrowRight: 1, ArrowLeft: -1 }[e.key], those = along && button ? [...button.closest("tr").querySelectorAll("button")] : [];
  const aside = those[those.indexOf(button) + along];
  if (next || aside) { e.preventDefault(); (next || aside).focus(); }
}
// What is chosen in a list, whole; and the way back to where it was chosen, also from what was chosen of it.
let cameFrom = null;
async function showDetail(parts) {
  const from = document.activeElement, box = $("detail"), within = box.contains(from);
  if (!within) cameFrom = from && from !== document.body ? { from, table: from.closest("table")?.id } : null;
  const back = cameFrom;
  // At once, whatever the server takes: on a small screen it comes up from below.
  box.replaceChildren(el("p", "Loading …", { className: "soft" })); $("detail-box").classList.add("open");
  try { box.replaceChildren(...await parts); } catch (error) { box.replaceChildren(el("p", error.message, { className: "bad" })); }
  if (back) {
    const button = el("button", "Back to the list", { type: "button" });
    button.onclick = () => { closeDetail(); backTo(back.from, back.table); };
    box.prepend(el("p", null, { className: "back" })); box.firstChild.append(button);
  }
  // Who has gone on meanwhile is not called back.
  if (document.activeElement !== (within ? document.body : from)) return;
  $("detail-title").focus({ preventScroll: true });
  $("detail-box").scrollIntoView({ block: "nearest" });
}
