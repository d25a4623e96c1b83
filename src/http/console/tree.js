// A value of JSON as a tree that opens and closes; numbers as they were written. A payload may be large: what nobody opens is not
// made, of many members some are shown at a time, and of a long text its beginning; a browser is at a standstill with all of it.
const OPEN_DEPTH = 2, OPEN_ITEMS = 20, MEMBERS_SHOWN = 200, TEXT_SHOWN = 10000, TEXT_MAX = 200000;
function tree(value, name = null, depth = 0) {
  const items = value instanceof Map ? [...value] : Array.isArray(value) ? value.map((v, n) => [String(n), v]) : null;
  const label = name === null ? [] : [el("span", cut(name, TEXT_SHOWN), { className: "soft" }), ": "];
  if (items === null || !items.length) { const leaf = el("div", null, { className: "leaf" }); leaf.append(...label, ...textOf(value)); return leaf; }
  const branch = el("details", null, { className: "tree", open: depth < OPEN_DEPTH && items.length <= OPEN_ITEMS }), head = el("summary");
  head.append(...label, el("span", Array.isArray(value) ? `[${items.length}]` : `{${items.length}}`, { className: "soft" }));
  branch.append(head);
  const fillIn = () => { if (branch.open && branch.children.length === 1) branch.append(...members(items, 0, depth + 1)); };
  branch.ontoggle = fillIn; fillIn();
  return branch;
}
function members(items, from, depth) {
  const to = Math.min(items.length, from + MEMBERS_SHOWN), parts = items.slice(from, to).map(([k, v]) => tree(v, k, depth)), left = items.length - to;
  if (left) {
    const more = el("button", `${count(Math.min(left, MEMBERS_SHOWN))} more of ${count(left)}`, { type: "button" });
    more.onclick = () => { const next = members(items, to, depth); more.replaceWith(...next); goOn(next[0].querySelector("summary") ?? next.at(-1), document.body); };
    parts.push(more);
  }
  return parts;
}
function textOf(value) {
  const text = pretty(value);
  if (text.length <= TEXT_SHOWN) return [text];
  const shown = el("span", `${text.slice(0, TEXT_SHOWN)}…`, { className: "long", tabIndex: 0 }), all = `all ${count(text.length)} characters`, buttons = el("span", null, { className: "buttons" });
  const save = el("button", `Save ${all}`, { type: "button" });
  save.onclick = () => {
    const link = el("a", null, { href: URL.createObjectURL(new Blob([typeof value === "string" ? value : text])), download: "value.txt" });
    link.click(); URL.revokeObjectURL(link.href);
  };
  if (text.length <= TEXT_MAX) {
    const show = el("button", `Show ${all}`, { type: "button" });
    show.onclick = () => { shown.textContent = text; show.remove(); };
    buttons.append(show);
  }
  buttons.append(save);
  return [shown, buttons];
}
