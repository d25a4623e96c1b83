// Forms of the detail: what is asked for, what of it is sent, and what came of it.
const sendTo = (method, path, body = null) => api(path, { method, body: body === null ? "" : JSON.stringify(body), headers: { "Content-Type": "application/json" } });
const askedText = value => value == null ? "" : value instanceof Num ? value.text : String(value);

// One field: { name, label, type or options, value, and what else an input has }. Where `always` is not said, only what was changed is sent.
function question({ name, label, type = "text", options = null, value = null, always = false, ...props }) {
  const box = el("label", label), field = options ? el("select") : el("input", null, { type, autocomplete: type === "password" ? "new-password" : "off", ...props });
  if (options) field.append(...options.map(o => el("option", o, { value: o })));
  const before = type === "datetime-local" && value ? inField(value) : askedText(value);
  field.name = name; field.value = before;
  box.append(field);
  // What is emptied is taken away: null.
  const given = () => field.value === "" ? null : type === "number" ? Number(field.value) : type === "datetime-local" ? absolute(field.value) : field.value;
  return { box, put: body => { if (always ? field.value !== "" : field.value !== before) body[name] = given(); } };
}
// Several of a few values, in an array.
function choice({ name, label, values, chosen = [] }) {
  const box = el("fieldset"), boxes = values.map(value => el("input", null, { type: "checkbox", value, checked: chosen.includes(value) }));
  box.append(el("legend", label), ...boxes.map(b => { const line = el("label", null, { className: "line" }); line.append(b, b.value); return line; }));
  return { box, put: body => { body[name] = boxes.filter(b => b.checked).map(b => b.value); } };
}
// `act` takes what was given, and says what is shown instead; what went wrong is said here.
function askForm(questions, text, act, id = "") {
  const whole = el("form", null, { className: "ask", id }), said = el("p", "", { role: "status" }), button = el("button", text);
  whole.append(...questions.map(q => q.box), button, said);
  whole.onsubmit = async e => {
    e.preventDefault();
    const body = {};
    for (const q of questions) q.put(body);
    if (!Object.keys(body).length) { said.textContent = "Nothing was changed."; said.className = "soft"; return; }
    button.disabled = true; said.textContent = "";
    try { await act(body); } catch (error) { said.textContent = error.message; said.className = "bad"; } finally { button.disabled = false; }
  };
  return whole;
}
// A button of the detail whose act may be refused: that is said beside it.
function deed(text, act, sure = null) {
  const line = el("p", null, { className: "buttons" }), said = el("span", "", { role: "status" });
  line.append(action(text, async () => { try { await act(); } catch (error) { said.textContent = error.message; said.className = "bad"; } }, sure), said);
  return line;
}
// In place of what the detail showed, with what came of it; the way back stays.
function showInstead(parts, text) {
  const box = $("detail"), back = box.querySelector(".back"), said = el("p", text, { className: "ok", role: "status", tabIndex: -1 });
  box.replaceChildren(...(back ? [back] : []), said, ...parts);
  goOn(said, box);
}
