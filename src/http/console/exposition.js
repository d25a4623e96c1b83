// What /metrics says, by name: values with their labels. And how much of it came within a while, and which value most stay below.
const SAMPLE = /^([a-zA-Z_:]\w*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)$/gm, LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
function parseExposition(text) {
  const found = new Map();
  for (const [, name, labels, value] of text.matchAll(SAMPLE)) {
    if (!found.has(name)) found.set(name, []);
    const of = Object.fromEntries([...(labels ?? "").matchAll(LABEL)].map(([, k, v]) => [k, v.replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c)]));
    found.get(name).push({ of, value: value === "+Inf" ? Infinity : Number(value) });
  }
  return found;
}
const samplesOf = (scrape, name) => scrape.get(name) ?? [];
const totalOf = (scrape, name, fits = () => true) => samplesOf(scrape, name).reduce((sum, s) => fits(s.of) ? sum + s.value : sum, 0);
// A counter that is less than it was began again with the process.
const grownBy = (now, then, name, fits) => { const a = totalOf(now, name, fits), b = totalOf(then, name, fits); return a >= b ? a - b : a; };
// The bound of the bucket in which a part of a histogram's values ends; null: it has none.
function quantileBelow(now, then, name, part) {
  const bounds = new Map();
  for (const { of } of samplesOf(now, `${name}_bucket`)) bounds.set(of.le, grownBy(now, then, `${name}_bucket`, o => o.le === of.le));
  const all = bounds.get("+Inf") ?? 0;
  const ends = [...bounds].map(([le, n]) => [le === "+Inf" ? Infinity : Number(le), n]).sort((a, b) => a[0] - b[0]);
  return all ? ends.find(([, n]) => n >= part * all)[0] : null;
}
