//! The console in a browser: streams, their groups, parked events and dead letters, by keyboard, for keys that may and that
//! may not.

use serde_json::json;

use crate::chromium::{self, Page};
use crate::client::Client;
use crate::env::{Engine, Env, Test, TestResult};
use crate::groups::{commit, filled, make, show, take, tell};
use crate::replays;
use crate::samples::{array, event_with};
use crate::streams::reaches;
use crate::users::{PASSWORD, user};

pub const TESTS: &[Test] = &[
    test("streams_and_groups_by_keyboard", streams_and_groups_by_keyboard),
    test("dead_letters_are_replayed", dead_letters_are_replayed),
    test("a_key_sees_what_it_may", a_key_sees_what_it_may),
    test("people_sign_in_and_out", people_sign_in_and_out),
];

pub const fn test(name: &'static str, run: fn(&Env) -> TestResult) -> Test {
    Test { name, engines: &Engine::ALL, run, missing: chromium::missing }
}

pub fn open(client: &Client) -> Page {
    let mut page = Page::new(1280, 900);
    page.open(&format!("{}/#key={}", client.url(), client.key()));
    // What loads at first has loaded: with what a trial asks for next it would be more than a tenant's reads at once.
    page.until("document.querySelector('#ready').textContent === '● ready' && !restoring");
    assert!(!page.value("location.href").to_string().contains("tg_"), "the key is not in the address any more");
    page
}

/// As a person does it who has no mouse.
pub fn enter(page: &mut Page, selector: &str) {
    page.until(&format!("document.querySelector({})?.checkVisibility() ?? false", json!(selector)));
    page.value(&format!("document.querySelector({}).focus()", json!(selector)));
    page.press("Enter");
}

/// The button with this text.
pub fn enter_button(page: &mut Page, within: &str, text: &str) {
    let found = format!(
        "[...document.querySelectorAll({})].find(b => b.textContent === {})",
        json!(format!("{within} button")),
        json!(text)
    );
    page.until(&format!("Boolean({found})"));
    page.value(&format!("{found}.focus()"));
    page.press("Enter");
}

pub fn rows(page: &mut Page, table: &str, count: usize) {
    page.until(&format!("document.querySelector('#{table}').tBodies[0].rows.length === {count}"));
}

pub fn says(page: &mut Page, id: &str, text: &str) {
    page.until(&format!("document.querySelector('#{id}').textContent.includes({})", json!(text)));
}

/// Where a link leads, once the key is known in this tab.
pub fn follow(page: &mut Page, link: &str) {
    page.value(&format!("location.hash = {}", json!(link)));
    page.until(&format!("location.hash === {} && !restoring", json!(link)));
}

/// Nothing is wider than the window, light and dark, and there is a picture of it where somebody asks for one.
pub fn fits(page: &mut Page, name: &str) {
    for (width, height) in [(360, 740), (1280, 900)] {
        page.resize(width, height);
        for scheme in ["light", "dark"] {
            page.prefer(scheme);
            assert_eq!(page.value("document.documentElement.scrollWidth"), width, "{name}");
            page.photograph(&format!("{name}-{width}-{scheme}"));
        }
    }
}

fn streams_and_groups_by_keyboard(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "<b>orders</b>", 9);
    client.events(array((0..120).map(|n| event_with(n, &format!(r#""stream":"t{n:03}""#))))).accepted(120, 0);
    reaches(client, "t119", 1);
    for n in 0..60 {
        make(
            client,
            "<b>orders</b>",
            json!({ "name": format!("g{n:02}"), "ordered_by": (n == 1).then_some("asset_id") }),
        );
    }
    let stream = "<b>orders</b>";
    let four = take(client, stream, "g00", "limit=4");
    commit(client, stream, "g00", &four).expect(200);
    for offset in [5, 6, 7, 8] {
        tell(client, stream, "g00", "park", json!({ "offset": offset, "reason": "no <i>such</i> customer" }))
            .expect(200);
    }
    let mut page = open(client);

    // Streams: a page, and the next ones.
    rows(&mut page, "streams", 50);
    let first = page.texts("#streams tbody tr:first-child td");
    assert_eq!(first[..3], ["<b>orders</b>", "0", "9"], "{first:?}");
    assert!(first[3] < first[4] && first[4].len() > 18, "oldest and newest: {first:?}");
    enter(&mut page, "#streams-more");
    rows(&mut page, "streams", 100);
    enter(&mut page, "#streams-more");
    rows(&mut page, "streams", 121);
    page.until("document.querySelector('#streams-more').hidden");

    // The groups of one.
    enter(&mut page, "#streams tbody button");
    rows(&mut page, "groups", 50);
    assert_eq!(page.text("#groups-title"), "Groups of <b>orders</b>");
    enter(&mut page, "#groups-more");
    rows(&mut page, "groups", 60);
    let cells = |page: &mut Page, row: usize| page.texts(&format!("#groups tbody tr:nth-child({row}) td"));
    let group = cells(&mut page, 1);
    assert_eq!(
        [&group[0], &group[1], &group[2], &group[3], &group[7]],
        ["g00", "in no order", "4", "5", "4"],
        "{group:?}"
    );
    assert!(group[4].ends_with(" s") || group[4].ends_with(" min"), "{group:?}");
    assert_eq!(cells(&mut page, 2)[1], "in order of asset_id");

    // Its parked events.
    enter(&mut page, "#groups tbody button");
    rows(&mut page, "parked", 4);
    let parked = page.texts("#parked tbody tr:first-child td");
    assert_eq!([&parked[0], &parked[3], &parked[4]], ["5", "parked", "no <i>such</i> customer"], "{parked:?}");
    enter(&mut page, "#parked tbody button");
    page.until("document.querySelector('#detail pre')?.textContent.includes('payload') ?? false");
    fits(&mut page, &format!("console-{}", env.engine.as_str()));
    enter_button(&mut page, "#detail", "Replay");
    says(&mut page, "parked-note", "1 will be handed out again");
    page.until("document.querySelector('#parked tbody tr td:last-child').textContent === 'comes again'");
    let again = take(client, stream, "g00", "");
    assert_eq!((&again["events"][0]["offset"], again["lease"].is_string()), (&json!(5), true), "{again}");
    tell(client, stream, "g00", "ack", json!({ "lease": again["lease"] })).expect(200);
    enter(&mut page, "#streams-refresh");
    rows(&mut page, "parked", 3);
    // What gives something up asks once more.
    enter(&mut page, "#parked tbody button");
    enter_button(&mut page, "#detail", "Drop");
    enter_button(&mut page, "#detail", "Drop it: press again");
    says(&mut page, "parked-note", "1 dropped");
    rows(&mut page, "parked", 2);
    enter_button(&mut page, "#parked-all", "Pause the group");
    page.until("document.querySelector('#groups tbody td:last-child').textContent === 'paused'");
    enter_button(&mut page, "#parked-all", "Resume the group");
    page.until("document.querySelector('#groups tbody td:last-child').textContent === ''");
    enter_button(&mut page, "#parked-all", "Drop all");
    enter_button(&mut page, "#parked-all", "Drop all: press again");
    says(&mut page, "parked-note", "2 dropped");
    rows(&mut page, "parked", 0);

    // Put somewhere else: first how many events that is.
    enter(&mut page, "#reset button");
    says(&mut page, "reset-note", "From 4 to 0: 4 events come again, 0 are passed over.");
    assert_eq!(show(client, stream, "g00")["committed"], 4);
    page.value(
        "document.querySelector('#reset').elements.to.value = 'offset'; document.querySelector('#reset').oninput()",
    );
    assert_eq!(page.value("document.querySelector('#reset-sure').children.length"), 0, "it was another place");
    enter(&mut page, "#reset button");
    says(&mut page, "reset-note", "An offset is a whole number.");
    page.value("document.querySelector('#reset').elements.offset.value = '2'");
    enter(&mut page, "#reset button");
    says(&mut page, "reset-note", "From 4 to 2: 2 events come again, 0 are passed over.");
    fits(&mut page, &format!("console-reset-{}", env.engine.as_str()));
    enter(&mut page, "#reset-sure button");
    says(&mut page, "reset-note", "It is at 2: 2 events come again, 0 are passed over.");
    let now = take(client, stream, "g00", "limit=2");
    assert_eq!(now["generation"], 2);
    // How far it lags is told as it goes, without anything being pressed.
    let lag = "document.querySelector('#groups tbody td:nth-child(4)').textContent";
    page.until(&format!("{lag} === '7'"));
    commit(client, stream, "g00", &now).expect(200);
    page.until(&format!("{lag} === '5'"));
    assert_eq!(page.value("document.querySelectorAll('b, i:not(.bars i)').length"), 0, "names are text, and no markup");
    page.assert_clean();
    Ok(())
}

fn dead_letters_are_replayed(env: &Env) -> TestResult {
    let tidegate = env.serve();
    tidegate.client.events(array((0..60).map(replays::old))).expect(422);
    tidegate.client.events(array(["{}"])).expect(422);
    drop(tidegate);
    let tidegate = env.serve_with(&[replays::MENDED]);
    let client = &tidegate.client;
    let mut page = open(client);
    rows(&mut page, "dead", 50);
    enter(&mut page, "#dead-more");
    rows(&mut page, "dead", 61);
    // One.
    enter_button(&mut page, "#dead", &page_cell(client, "out_of_window"));
    enter_button(&mut page, "#detail", "Replay");
    page.until("document.querySelector('#detail').textContent.includes('Stored at ')");
    assert_eq!(env.sql().count("events"), 1);
    // Those of a filter, once it was said how many they are.
    page.value("document.querySelector('#dead-filter').elements.code.value = 'out_of_window,missing_field'");
    page.value("document.querySelector('#dead-filter').requestSubmit()");
    enter_button(&mut page, "#dead-all", "Replay what the filter finds");
    enter_button(&mut page, "#dead-all", "Replay 60");
    says(&mut page, "dead-all", "59 stored, 1 failed again, 0 cannot be replayed.");
    assert_eq!(env.sql().count("events"), 60);
    page.value("document.querySelector('#dead-filter').elements.outcome.value = 'failed'");
    page.value("document.querySelector('#dead-filter').requestSubmit()");
    rows(&mut page, "dead", 1);
    assert_eq!(page.texts("#dead tbody td")[2], "missing_field");
    // What is not what a filter takes is said.
    page.value("document.querySelector('#dead-filter').elements.outcome.value = 'stored'");
    enter_button(&mut page, "#dead-all", "Replay what the filter finds");
    says(&mut page, "dead-all", "400 invalid_parameter");
    page.assert_clean();
    Ok(())
}

/// What the first cell of the newest dead letter of a code shows: its time.
fn page_cell(client: &Client, code: &str) -> String {
    let listed = client.get(&format!("/v1/dead-letters?limit=1&code={code}")).expect(200);
    let time = listed["data"][0]["failed_at"].as_str().unwrap();
    let (seconds, fraction) = time.trim_end_matches('Z').split_once('.').unwrap_or((time.trim_end_matches('Z'), ""));
    let shown = if fraction.is_empty() {
        seconds.to_owned()
    } else {
        format!("{seconds}.{}", &fraction[..3.min(fraction.len())])
    };
    shown.replace('T', " ")
}

fn a_key_sees_what_it_may(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    make(client, "s", json!({ "name": "g" }));
    tell(client, "s", "g", "park", json!({ "offset": 1 })).expect(200);
    client.events(array(["{}"])).expect(422);
    let reader = tidegate.with(&env.key("default", "read"));
    let mut page = open(&reader);
    says(&mut page, "who", "default · read");
    enter(&mut page, "#streams tbody button");
    enter(&mut page, "#groups tbody button");
    enter(&mut page, "#parked tbody button");
    page.until("document.querySelector('#detail pre')?.textContent.includes('payload') ?? false");
    enter(&mut page, "#dead tbody tr:first-child button");
    page.until("document.querySelector('#detail').textContent.includes('missing_field')");
    for text in ["Replay", "Drop", "Drop all", "Replay all", "Pause the group", "Replay what the filter finds"] {
        let none = page
            .value(&format!("[...document.querySelectorAll('button')].every(b => b.textContent !== {})", json!(text)));
        assert_eq!(none, true, "{text}");
    }
    assert_eq!(page.value("document.querySelector('#send').hidden"), true);
    assert_eq!(page.value("document.querySelector('#reset').hidden"), true);

    // Another key, in the same tab.
    let consumer = env.key("default", "consume");
    page.value(&format!("document.querySelector('#key').value = {}", json!(consumer.text)));
    enter(&mut page, "#key-form button");
    says(&mut page, "who", "default · consume");
    says(&mut page, "dead-note", "This key lacks the scope read.");
    says(&mut page, "events-note", "This key lacks the scope read.");
    enter(&mut page, "#streams tbody button");
    enter(&mut page, "#groups tbody button");
    enter_button(&mut page, "#parked-all", "Replay all");
    enter_button(&mut page, "#parked-all", "Replay all: press again");
    says(&mut page, "parked-note", "1 will be handed out again");
    assert_eq!(take(client, "s", "g", "")["events"][0]["offset"], 1);

    enter(&mut page, "#forget");
    says(&mut page, "streams-note", "Sign in, or enter an API key with the scope read or consume.");
    page.value("document.querySelector('#key').value = 'tg_nonsense'");
    enter(&mut page, "#key-form button");
    says(&mut page, "who", "401 unauthorized");
    page.assert_clean();
    Ok(())
}

fn people_sign_in_and_out(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    filled(client, "s", 3);
    user(client, "ann@example.org", "viewer");
    let mut page = Page::new(1280, 900);
    page.open(&format!("{}/", client.url().replace("127.0.0.1", "localhost")));
    page.until("document.querySelector('#ready').textContent === '● ready'");
    says(&mut page, "streams-note", "Sign in, or enter an API key with the scope read or consume.");
    let sign_in = |page: &mut Page, password: &str| {
        let fill = "Object.assign(document.querySelector('#sign-in').elements";
        page.value(&format!("{fill}.email, {{ value: 'Ann@example.org' }}).value"));
        page.value(&format!("{fill}.password, {{ value: {} }}).value", json!(password)));
        enter(page, "#sign-in button");
    };
    sign_in(&mut page, "a sentence that is wrong");
    says(&mut page, "who", "401 unauthorized");
    assert_eq!(page.value("document.querySelector('#sign-in').elements.password.value"), "");
    fits(&mut page, "sign-in");
    page.resize(1280, 900);
    sign_in(&mut page, PASSWORD);
    says(&mut page, "who", "ann@example.org · default · viewer");
    rows(&mut page, "streams", 1);
    assert_eq!(page.value("document.cookie"), "", "scripts do not see it");
    assert_eq!(page.value("document.querySelector('#sign-in').checkVisibility()"), false);
    fits(&mut page, "signed-in");
    page.resize(1280, 900);
    // Another visit, with the same cookie.
    page.open(&format!("{}/", client.url().replace("127.0.0.1", "localhost")));
    says(&mut page, "who", "ann@example.org · default · viewer");
    enter(&mut page, "#sign-out");
    says(&mut page, "streams-note", "Sign in, or enter an API key with the scope read or consume.");
    page.until("document.querySelector('#sign-in').checkVisibility()");
    assert_eq!(page.text("#who"), "");
    assert_eq!(env.sql().one::<i64>("SELECT count(*) FROM sessions WHERE revoked_at IS NULL"), 0);
    page.assert_clean();
    Ok(())
}
