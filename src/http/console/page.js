"use strict";
const $ = id => document.getElementById(id);
const PAGE = 50, TYPES_SHOWN = 20, SERIES_SHOWN = 500, POLL_MS = 2000;

// All text reaches the page through textContent; nothing that a sender wrote is ever markup.
function el(name, text, props = {}) { const e = Object.assign(document.createElement(name), props); if (text != null) e.textContent = text; return e; }
function note(id, text, kind = "soft") { $(id).textContent = text; $(id).className = kind; }
// After something that took a while: the focus goes on to there, unless somebody has gone elsewhere meanwhile.
function goOn(to, from) { const at = document.activeElement; if (!at || at === document.body || from.contains(at)) to.focus({ preventScroll: true }); }
const count = text => Number(text).toLocaleString("en");

// A button that does something at the server; with `sure`, only when it is pressed a second time.
function action(text, act, sure = null) {
  const button = el("button", text, { type: "button" });
  const calm = () => { button.textContent = text; button.classList.remove("armed"); };
  button.onblur = calm;
  button.onclick = async () => {
    if (sure && !button.classList.contains("armed")) {
      button.textContent = sure; button.classList.add("armed");
      return;
    }
    calm(); button.disabled = true;
    try { await act(); } finally { button.disabled = false; }
  };
  return button;
}

const IS_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
function fields(item, skip) {
  const dl = el("dl", null, { className: "fields" });
  for (const [name, value] of item) if (!skip.includes(name) && value !== null) dl.append(el("dt", name), el("dd", IS_TIME.test(plain(value)) && /(^(at|oldest|newest)|_(at|seen|since|until|run|finished)|timestamp)$/.test(name) ? `${when(value)} ${zone()}` : plain(value)));
  return dl;
}
