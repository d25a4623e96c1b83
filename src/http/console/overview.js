// The overview: the checks as lines, which are made once and told again as they go, so that nothing moves under somebody's hands.
const MARKS = { well: "● well", look: "▲ look", act: "■ act", unseen: "– not seen" }, KINDS_OF = { well: "ok", look: "warn", act: "bad", unseen: "soft" };
const WINDOW_MS = 300e3, JOBS_MS = 30e3;
const overview = { scrapes: [], jobs: null, jobsAt: -Infinity, jobsFor: "", problem: "" };
// Of the one who looks, where the server knows them: the rest of /metrics is for everybody.
const asSeen = () => ({ cache: "no-store", ...(key() && scopes.length ? { headers: { Authorization: `Bearer ${key()}` } } : {}), credentials: person ? "same-origin" : "omit" });
async function scrape() {
  const answer = await fetch("/metrics", asSeen());
  // A key that was revoked meanwhile.
  return (answer.ok ? answer : await fetch("/metrics", { cache: "no-store", credentials: "omit" })).text();
}
async function askJobs(now) {
  const who = may("admin") ? key() || person?.get("user").get("id") || "" : "";
  if (who !== overview.jobsFor) Object.assign(overview, { jobs: null, jobsAt: -Infinity, jobsFor: who, problem: "", scrapes: [] });
  if (!who || now - overview.jobsAt < JOBS_MS) return;
  overview.jobsAt = now;
  try { const jobs = (await api("/v1/lifecycle")).get("jobs"); if (overview.jobsFor === who) Object.assign(overview, { jobs, problem: "" }); }
  catch (error) { if (overview.jobsFor === who) Object.assign(overview, { jobs: null, problem: `The jobs cannot be asked: ${error.message}` }); }
}
function tellOverview(ready, text, at) {
  if (!["all", "overview"].includes(view)) return;
  askJobs(at);
  const now = parseExposition(text), ofTenants = "tidegate_tenant_items_received_total";
  // What a key shows of organizations has not come since the page was opened.
  if (overview.scrapes.length && now.has(ofTenants) !== overview.scrapes[0].scrape.has(ofTenants)) overview.scrapes = [];
  const kept = overview.scrapes.filter(s => at - s.at <= WINDOW_MS);
  const then = kept[0] ?? { at, scrape: now };
  overview.scrapes = [...kept, { at, scrape: now }];
  const seen = { ready, now, then: then.scrape, passed: (at - then.at) / 1000, jobs: overview.jobs, sees: scopes.length > 0 };
  const lines = Object.entries(CHECKS).map(([name, check]) => [name, check(seen)]).filter(([, line]) => line);
  for (const li of [...$("checks").children]) if (!lines.some(([name]) => name === li.dataset.check)) li.remove();
  lines.forEach(([name, line], n) => {
    let li = [...$("checks").children].find(li => li.dataset.check === name);
    if (!li) { li = checkLine(name); $("checks").insertBefore(li, $("checks").children[n] ?? null); }
    fillCheck(li, line);
  });
  const names = state => lines.filter(([, l]) => l.state === state).map(([name]) => name.toLowerCase()), acts = names("act"), looks = names("look");
  const says = [acts.length ? `To act on: ${acts.join(", ")}.` : "", looks.length ? `To look at: ${looks.join(", ")}.` : "", acts.length + looks.length ? "" : "All is well.", overview.problem].filter(t => t).join(" ");
  // A status that says the same again is not read out again.
  if ($("overview-note").textContent !== says) note("overview-note", says, acts.length ? "bad" : looks.length || overview.problem ? "warn" : "ok");
  $("overview-since").textContent = `lately: the last ${roughly(Math.max(seen.passed, 1))}`;
}
function checkLine(name) {
  const li = el("li"), todo = el("span", null, { className: "todo" });
  todo.append(el("span"), el("a", null, { hidden: true }), el("code", null, { hidden: true, className: "soft" }));
  li.append(el("span", null, { className: "mark" }), el("strong", name), el("span", null, { className: "said" }), todo);
  li.dataset.check = name;
  return li;
}
function setText(e, text) { if (e.textContent !== text) e.textContent = text; }
function fillCheck(li, { state, value, todo = "", view: to, runbook }) {
  const [mark, , said, what] = li.children, [words, link, page] = what.children;
  setText(mark, MARKS[state]); mark.className = `mark ${KINDS_OF[state]}`;
  setText(said, value); setText(words, todo);
  link.hidden = !to; page.hidden = !runbook;
  if (to) { setText(link, to[1]); link.href = `#${to[0]}${to[2] ? `?${new URLSearchParams(to[2])}` : ""}`; }
  if (runbook) setText(page, `docs/runbook/${runbook}.md`);
}
