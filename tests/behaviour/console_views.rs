//! Views of the console: what is in the address, and times in one zone.

use serde_json::json;

use crate::chromium::Page;
use crate::console::{enter, fits, follow, open, rows, says, test};
use crate::env::{Env, Test, TestResult};
use crate::groups::{filled, make};
use crate::samples::{array, event_with};

pub const TESTS: &[Test] = &[
    test("a_link_shows_the_same", a_link_shows_the_same),
    test("what_is_chosen_meanwhile_stays", what_is_chosen_meanwhile_stays),
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
