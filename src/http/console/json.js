// JSON whose numbers stay as they were written: Num keeps the text, so that 0.1000 and 1e400 are shown and not rounded.
class Num { constructor(text) { this.text = text; } }
function parse(text) {
  let at = 0;
  const space = () => { while (" \t\n\r".includes(text[at]) && at < text.length) at++; };
  const match = re => { re.lastIndex = at; const m = re.exec(text); if (!m) throw new Error("not JSON at " + at); at = re.lastIndex; return m[0]; };
  const string = () => JSON.parse(match(/"[^"\\]*(?:\\.[^"\\]*)*"/y));
  function list(close, one) {
    at++; space();
    if (text[at] === close) { at++; return; }
    for (;;) { one(); space(); const c = text[at++]; if (c === close) return; if (c !== ",") throw new Error("not JSON at " + at); space(); }
  }
  function value() {
    space();
    switch (text[at]) {
      case "{": { const map = new Map(); list("}", () => { const k = string(); space(); match(/:/y); map.set(k, value()); }); return map; }
      case "[": { const items = []; list("]", () => items.push(value())); return items; }
      case '"': return string();
      case "t": match(/true/y); return true;
      case "f": match(/false/y); return false;
      case "n": match(/null/y); return null;
      default: return new Num(match(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y));
    }
  }
  return value();
}
function pretty(v, pad = "") {
  const inner = pad + "  ", wrap = (a, items, z) => items.length ? `${a}\n${inner}${items.join(`,\n${inner}`)}\n${pad}${z}` : a + z;
  if (v instanceof Num) return v.text;
  if (v instanceof Map) return wrap("{", [...v].map(([k, x]) => `${JSON.stringify(k)}: ${pretty(x, inner)}`), "}");
  if (Array.isArray(v)) return wrap("[", v.map(x => pretty(x, inner)), "]");
  return JSON.stringify(v);
}
const compact = v => v instanceof Num ? v.text : v instanceof Map ? `{${[...v].map(([k, x]) => `${JSON.stringify(k)}:${compact(x)}`).join(",")}}`
  : Array.isArray(v) ? `[${v.map(compact).join(",")}]` : JSON.stringify(v);
const plain = v => v == null ? "" : v instanceof Num ? v.text : typeof v === "string" ? v : pretty(v);
