//! Views of the console: what is in the address, and times in one zone.

use serde_json::json;

use crate::chromium::Page;
use crate::console::{enter, fits, follow, open, rows, says, test};
use crate::env::{Env, Test, TestResult};
use crate::groups::{filled, make};
use crate::samples::{array, event_with, metric_with};

pub const TESTS: &[Test] = &[
    test("a_link_shows_the_same", a_link_shows_the_same),
    test("what_is_chosen_meanwhile_stays", what_is_chosen_meanwhile_stays),
    test("an_hour_that_comes_twice", an_hour_that_comes_twice),
    test("what_was_not_chosen", what_was_not_chosen),
];

fn a_link_shows_the_same(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "a b&c", 3);
    make(client, "a b&c", json!({ "name": "g" }));
    client.events(array([event_with(900, r#""asset_id":"pump/7&8""#)])).accepted(1, 0);
    let mut page = Page::new(1280, 900);
    page.zone("Asia/Tokyo");
    page.open(&format!("{}/#key={}", client.url(), client.key()));
    rows(&mut page, "events", 4);
    page.until("!restoring");

    // What is asked for is in the address, and back and forward go by it.
    page.value("document.querySelector('#filter').elements.asset_id.value = 'pump/7&8'");
    page.value("document.querySelector('#filter').requestSubmit()");
    rows(&mut page, "events", 1);
    assert_eq!(page.value("location.hash"), "#all?e.asset_id=pump%2F7%268");
    page.value("history.back()");
    rows(&mut page, "events", 4);
    page.until("!restoring");
    assert_eq!(page.value("document.querySelector('#filter').elements.asset_id.value"), "");
    page.value("history.forward()");
    rows(&mut page, "events", 1);
    page.until("!restoring");
    enter(&mut page, "#streams tbody tr:first-child button");
    enter(&mut page, "#groups tbody button");
    rows(&mut page, "groups", 1);
    let all = page.value("location.hash");
    assert_eq!(all, "#all?e.asset_id=pump%2F7%268&s.stream=a+b%26c&s.group=g");

    // A view is a part of the page, and keeps what was asked of it.
    enter(&mut page, "nav a[data-to=events]");
    page.until("document.querySelector('#streams-title').checkVisibility() === false && !restoring");
    assert_eq!(page.value("location.hash"), "#events?e.asset_id=pump%2F7%268");
    rows(&mut page, "events", 1);

    // One switch for all times.
    let utc = page.text("#events tbody button");
    page.value("document.querySelector('#zone').value = 'local'");
    page.value("document.querySelector('#zone').dispatchEvent(new Event('change'))");
    page.until(&format!("document.querySelector('#events tbody button')?.textContent !== {}", json!(utc)));
    let milliseconds = |text: &str| format!("Date.parse({} + 'Z')", json!(text.replace(' ', "T")));
    let there = page.text("#events tbody button");
    let apart = page.value(&format!("{} - {}", milliseconds(&there), milliseconds(&utc)));
    assert_eq!(apart, 9 * 3600 * 1000, "{utc} is {there} in Tokyo");
    assert_eq!(page.value("[...document.querySelectorAll('.zone')].every(e => e.textContent === 'Asia/Tokyo')"), true);
    enter(&mut page, "#events tbody button");
    page.until("document.querySelector('#detail .fields')?.checkVisibility() ?? false");
    assert!(page.text("#detail .fields").contains(&format!("{there} Asia/Tokyo")), "the detail as well");
    fits(&mut page, &format!("console-events-{}", env.engine.as_str()));

    // On a small screen what is chosen comes up where it is seen, and goes by Escape to where it was chosen.
    page.resize(360, 740);
    let seen = "(() => { const r = document.querySelector('#detail-box').getBoundingClientRect(); \
                return r.height > 100 && r.top >= 0 && r.bottom <= innerHeight; })()";
    page.until(seen);
    page.press("Escape");
    page.until("!document.querySelector('#detail-box').classList.contains('open')");
    assert_eq!(page.value("document.activeElement.matches('#events tbody button')"), true);

    // Somebody else follows the links.
    let link = page.value("location.hash");
    assert_eq!(link, "#events?e.asset_id=pump%2F7%268&tz=local");
    let mut other = Page::new(1280, 900);
    other.zone("America/Lima");
    other.open(&format!("{}/#key={}", client.url(), client.key()));
    rows(&mut other, "events", 4);
    follow(&mut other, link.as_str().unwrap());
    rows(&mut other, "events", 1);
    let apart = other.text("#events tbody button");
    let apart = other.value(&format!("{} - {}", milliseconds(&apart), milliseconds(&utc)));
    assert_eq!(apart, -5 * 3600 * 1000, "the time of the one who looks");
    follow(&mut other, "#streams?s.stream=a+b%26c&s.group=g");
    rows(&mut other, "groups", 1);
    says(&mut other, "parked-title", "Parked events of g");
    assert_eq!(other.value("document.querySelector('#events').checkVisibility()"), false);
    assert_eq!(other.text("#streams .zone"), "UTC");
    // The rows of a table by arrows.
    follow(&mut other, "#events");
    rows(&mut other, "events", 4);
    other.value("document.querySelector('#events tbody button').focus()");
    other.press("ArrowDown");
    assert_eq!(
        other.value("document.activeElement.matches('#events tbody tr:nth-child(2) td:first-child button')"),
        true
    );
    other.assert_clean();
    page.assert_clean();
    Ok(())
}

fn what_is_chosen_meanwhile_stays(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g" }));
    let mut page = open(client);
    page.until("!restoring");
    // A view is loading: one of its answers has not come.
    page.value(
        "window.held = []; const real = fetch; window.fetch = (...asked) => String(asked[0]).includes('/v1/correlations') \
         ? new Promise(go => held.push(() => go(real(...asked)))) : real(...asked); location.hash = '#all'; 0",
    );
    page.until("held.length === 1 && restoring");
    enter(&mut page, "#streams tbody button");
    enter(&mut page, "#groups tbody button");
    page.until("location.hash === '#all?s.stream=s&s.group=g'");
    page.value("document.querySelector('#correlations-note').textContent = 'not yet'; held[0](); 0");
    page.until("document.querySelector('#correlations-note').textContent !== 'not yet'");
    // What the address was before does not come back over it.
    assert_eq!(page.value("new Promise(done => setTimeout(() => done($('parked-box').checkVisibility())))"), true);
    assert_eq!(page.value("location.hash"), "#all?s.stream=s&s.group=g");
    assert_eq!(page.text("#groups-title"), "Groups of s");
    page.assert_clean();
    Ok(())
}

fn an_hour_that_comes_twice(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    // The last time that it came, going by the newest year whose October is over: on the last Sunday.
    let year = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year() - 1;
    let last = jiff::civil::date(year, 10, 31);
    let day = last.saturating_sub(jiff::Span::new().days(i64::from(last.weekday().to_sunday_zero_offset())));
    let mut page = Page::new(1280, 900);
    page.zone("Europe/Berlin");
    page.open(&format!("{}/#key={}", client.url(), client.key()));
    page.until("document.querySelector('#ready').textContent === '● ready' && !restoring");
    // A list whose two rows the clocks tell in the same way.
    page.value(&format!(
        "window.asked = []; const real = fetch; window.fetch = async (...of) => {{ asked.push(String(of[0])); \
         if (!String(of[0]).startsWith('/v1/events?')) return real(...of); \
         const event = at => ({{ id: 'i', timestamp: at, event_type: 't', severity: 'info', asset_id: 'a', source_module: 's', stream: 'x', payload: {{}} }}); \
         return new Response(JSON.stringify({{ data: [event('{day}T01:10:00Z'), event('{day}T00:10:00Z'), event('{day}T03:10:00Z')], next_cursor: null }})); }}; 0"
    ));
    let link = format!("#events?e.range=own&e.from={day}T00%3A00%3A00.000Z&e.to={day}T01%3A00%3A00.000Z&tz=local");
    follow(&mut page, &link);
    rows(&mut page, "events", 3);
    assert_eq!(
        page.texts("#events tbody td:first-child"),
        [format!("{day} 02:10:00 +01:00"), format!("{day} 02:10:00 +02:00"), format!("{day} 04:10:00")]
    );
    let asked = "asked.findLast(a => a.startsWith('/v1/events?'))";
    let times = |from: &str, to: &str| format!("from={day}T{from}%3A00.000Z&to={day}T{to}%3A00.000Z");
    let is_asked = |page: &mut Page, times: &str| page.until(&format!("{asked}.includes({})", json!(times)));
    is_asked(&mut page, &times("00%3A00", "01%3A00"));
    let fields = "['from', 'to'].map(n => document.querySelector('#filter').elements[n].value)";
    assert_eq!(page.value(fields), json!([format!("{day}T02:00"), format!("{day}T02:00")]));
    assert_eq!(
        [page.text("#from-twice"), page.text("#to-twice")],
        ["from: +02:00, not +01:00", "to: +01:00, not +02:00"].map(str::to_owned)
    );
    fits(&mut page, &format!("console-twice-{}", env.engine.as_str()));
    page.resize(1280, 900);
    // What the address says stays what was chosen, also when it is asked again.
    let said = page.value("new URLSearchParams(addressOf('events').split('?')[1]).get('e.to')");
    assert_eq!(said, format!("{day}T01:00:00.000Z"));
    page.value("document.querySelector('#filter').requestSubmit()");
    is_asked(&mut page, &times("00%3A00", "01%3A00"));
    enter(&mut page, "#from-twice");
    assert_eq!(page.text("#from-twice"), "from: +01:00, not +02:00");
    // Another text is another time; one that is in no such hour says nothing of offsets.
    let change = "(() => { const f = document.querySelector('#filter').elements.to";
    page.value(&format!("{change}; f.value = '{day}T04:30'; f.dispatchEvent(new Event('input')); }})()"));
    assert_eq!(page.value("document.querySelector('#to-twice').hidden"), true);
    page.value("document.querySelector('#filter').requestSubmit()");
    is_asked(&mut page, &times("01%3A00", "03%3A30"));
    // All in UTC: the same times.
    page.value("document.querySelector('#zone').value = 'utc'");
    page.value("document.querySelector('#zone').dispatchEvent(new Event('change'))");
    page.until(&format!("{fields}.join() === '{day}T01:00,{day}T03:30'"));
    is_asked(&mut page, &times("01%3A00", "03%3A30"));
    assert_eq!(page.value("document.querySelector('#from-twice').hidden"), true);
    page.assert_clean();
    Ok(())
}

fn what_was_not_chosen(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let long = "a_series_that_was_heard_of_last_".repeat(3);
    let at = |minutes: i64| {
        let time = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        format!(r#""value":1,"timestamp":"{time}""#)
    };
    client
        .metrics(array([metric_with("a", &at(600)), metric_with(&long, &at(1)), metric_with("z", &at(500))]))
        .accepted(3, 0);
    client.post("/v1/streams", &[], json!({ "name": "unused" }).to_string()).expect(201);
    let mut page = open(client);
    // A view that there is not.
    follow(&mut page, "#nowhere?e.q=x");
    says(&mut page, "lost", "There is no view \"nowhere\" here: this is the overview.");
    assert_eq!(
        page.value("[view, $('checks').checkVisibility(), $('events').checkVisibility()]"),
        json!(["overview", true, false])
    );
    fits(&mut page, &format!("console-lost-{}", env.engine.as_str()));
    // A stream that nothing has come to.
    follow(&mut page, "#streams");
    rows(&mut page, "streams", 1);
    assert_eq!(page.text("#lost"), "");
    assert_eq!(page.texts("#streams tbody td"), ["unused", "0", "0", "–", "–"]);
    // Of several series the one that was heard of last.
    follow(&mut page, "#metrics");
    let chosen = "document.querySelector('#series').elements.series";
    page.until(&format!("{chosen}.options.length === 3"));
    page.until(&format!("JSON.parse({chosen}.value)[1] === {}", json!(long)));
    fits(&mut page, &format!("console-series-{}", env.engine.as_str()));
    page.assert_clean();
    Ok(())
}
