// A value of JSON as a tree that opens and closes; numbers as they were written.
const OPEN_DEPTH = 2, OPEN_ITEMS = 20;
function tree(value, name = null, depth = 0) {
  const items = value instanceof Map ? [...value] : Array.isArray(value) ? value.map((v, n) => [String(n), v]) : null;
  const label = name === null ? [] : [el("span", name, { className: "soft" }), ": "];
  if (items === null || !items.length) { const leaf = el("div", null, { className: "leaf" }); leaf.append(...label, pretty(value)); return leaf; }
  const branch = el("details", null, { className: "tree", open: depth < OPEN_DEPTH && items.length <= OPEN_ITEMS }), head = el("summary");
  head.append(...label, el("span", Array.isArray(value) ? `[${items.length}]` : `{${items.length}}`, { className: "soft" }));
  branch.append(head);
  // What nobody opens is not made: a payload may be large.
  const fillIn = () => { if (branch.open && branch.children.length === 1) branch.append(...items.map(([k, v]) => tree(v, k, depth + 1))); };
  branch.ontoggle = fillIn; fillIn();
  return branch;
}
