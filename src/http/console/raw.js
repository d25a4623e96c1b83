// What was sent of a dead letter, as text and as bytes, with the place marked that its reason names.
const HEX_BYTES = 8, HEX_LINES = 32;
const bytesOf = base64 => Uint8Array.from(atob(base64), c => c.charCodeAt(0));
// The byte that was wrong; null where none is named, more than one is (a sender's text in the reason may name another), or what is
// kept is not what was sent: where a key was cut out the bytes behind it stand elsewhere.
function placeIn(letter) {
  if (!["decode", "validate"].includes(letter.get("stage")) || letter.get("redacted") === true) return null;
  const named = new Set([...letter.get("reason").matchAll(/\bat byte (\d+) of the item\b/g)].map(found => Number(found[1]))), [at] = named;
  return named.size === 1 && at <= Number(letter.get("raw_bytes").text) ? at : null;
}
// Where what was sent ends too early, its end is the place.
const marked = text => text === "" ? el("mark", "the end", { className: "end" }) : el("mark", text);
// A character may be of several bytes: that is marked which the byte is of.
function markedText(bytes, at) {
  const text = (from, to) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(from, to)), within = n => (bytes[n] & 0xc0) === 0x80;
  let from = at, to = Math.min(at + 1, bytes.length);
  while (within(from)) from--;
  while (within(to)) to++;
  return [text(0, from), marked(text(from, to)), text(to)];
}
// Lines of bytes, and what of them are characters of ASCII; those around the place, where there are many.
function hexLines(bytes, at) {
  const lines = Math.ceil((bytes.length + (at === bytes.length ? 1 : 0)) / HEX_BYTES), first = Math.max(0, Math.min(lines - HEX_LINES, Math.floor((at ?? 0) / HEX_BYTES) - HEX_LINES / 2)), parts = [];
  for (let line = first; line < Math.min(lines, first + HEX_LINES); line++) {
    const start = line * HEX_BYTES, here = [...bytes.subarray(start, start + HEX_BYTES)], ascii = b => b > 31 && b < 127 ? String.fromCharCode(b) : "·";
    parts.push(`${start.toString(16).padStart(6, "0")} `);
    here.forEach((b, n) => parts.push(" ", start + n === at ? marked(b.toString(16).padStart(2, "0")) : b.toString(16).padStart(2, "0")));
    if (at === bytes.length && at - start === here.length) parts.push(" ", marked(""));
    parts.push(`${"   ".repeat(HEX_BYTES - here.length)}  `);
    here.forEach((b, n) => parts.push(start + n === at ? marked(ascii(b)) : ascii(b)));
    parts.push("\n");
  }
  return { parts, isPart: lines > HEX_LINES };
}
function toMark(pre) {
  const box = pre.getBoundingClientRect(), place = pre.querySelector("mark")?.getBoundingClientRect();
  if (place) pre.scrollTop += place.top - box.top - box.height / 2;
}
function letterRaw(letter) {
  const raw = letter.get("raw"), bytes = bytesOf(letter.get("raw_base64")), at = placeIn(letter), { parts, isPart } = hexLines(bytes, at);
  const where = at === null ? "" : `, byte ${count(at)} is marked`, whole = el("pre", null, { tabIndex: 0 }), hex = el("details", null, { className: "bytes", open: raw === null }), lines = el("pre", null, { className: "hex", tabIndex: 0 });
  whole.append(...raw === null ? [letter.get("raw_base64")] : at === null ? [raw] : markedText(bytes, at));
  lines.append(...parts);
  hex.append(el("summary", `${several(bytes.length, "byte")}${isPart ? `, ${HEX_LINES * HEX_BYTES} of them` : ""}, in hexadecimal${where}`), lines);
  hex.ontoggle = () => toMark(lines);
  // Once it is on the page.
  requestAnimationFrame(() => toMark(whole));
  const title = el("h3", raw === null ? "raw, in base64 (it is not UTF-8)" : `raw, as it was sent${where}`);
  return raw === null ? [hex, title, whole] : [title, whole, hex];
}
