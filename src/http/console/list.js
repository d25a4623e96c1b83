// A list of the API in the table of this id, page by page. `path` says what to ask for, or null where nothing is chosen; `cells`
// are the texts of a row, or { text, kind } with a class; `open` is what the button does that is a row's first cell.
function list(id, { scope, path, cells, open, none }) {
  const table = $(id), more = $(`${id}-more`), rows = table.tBodies[0];
  let turn = 0, asked = null, next = null;
  function clear(text, kind) { turn++; rows.replaceChildren(); table.hidden = more.hidden = true; note(`${id}-note`, text, kind); }
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
      if (!goesOn) rows.replaceChildren();
      for (const item of page.get("data")) rows.append(row(cells(item), tr => { mark(tr); open(item); }));
      next = page.get("next_cursor");
      table.hidden = !rows.rows.length; more.hidden = !next;
      note(`${id}-note`, rows.rows.length ? (next ? `${rows.rows.length} shown, more are there.` : `${rows.rows.length} shown.`) : none());
    } catch (error) {
      if (mine !== turn) return;
      if (goesOn) note(`${id}-note`, error.message, "bad"); else clear(error.message, "bad");
    }
  }
  more.onclick = () => load(true);
  return { load, clear };
}

function row(cells, open) {
  const tr = el("tr");
  cells.forEach((cell, n) => {
    const { text, kind } = cell instanceof Object ? cell : { text: cell ?? "", kind: "" };
    const td = el("td", n ? text : null, { title: text, className: kind });
    if (!n) {
      const button = el("button", text, { type: "button" });
      button.onclick = () => open(tr);
      td.append(button);
    }
    tr.append(td);
  });
  return tr;
}
function mark(tr) {
  for (const other of tr.parentElement.rows) other.removeAttribute("aria-current");
  tr.setAttribute("aria-current", "true");
}
const offset = value => ({ text: value.text, kind: "number" });
const number = value => ({ text: value === null ? "–" : count(value.text), kind: "number" });

// What is chosen in a list, whole; and the way back to where it was chosen.
async function showDetail(parts) {
  const from = document.activeElement, box = $("detail");
  try { box.replaceChildren(...await parts); } catch (error) { box.replaceChildren(el("p", error.message, { className: "bad" })); }
  if (from && from !== document.body) {
    const back = el("button", "Back to the list", { type: "button" });
    back.onclick = () => { if (from.isConnected) from.focus(); };
    box.prepend(el("p")); box.firstChild.append(back);
  }
  // Who has gone on meanwhile is not called back.
  if (document.activeElement !== from) return;
  $("detail-title").focus({ preventScroll: true });
  $("detail-box").scrollIntoView({ block: "nearest" });
}
