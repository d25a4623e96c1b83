//! The console's events as they come, and what is related to one.

use serde_json::json;
use uuid::Uuid;

use crate::console::{enter, fits, follow, open, rows, says, test};
use crate::env::{Env, Test, TestResult, until};
use crate::samples::{array, event_with};
use crate::server_sent::Feed;
use crate::streams::reaches;

pub const TESTS: &[Test] =
    &[test("a_stream_as_it_comes", a_stream_as_it_comes), test("related_events_as_a_graph", related_events_as_a_graph)];

fn a_stream_as_it_comes(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let send = |from: usize, count: usize| {
        let events = (from..from + count).map(|n| event_with(n, r#""stream":"a b&c","severity":"error""#));
        client.events(array(events)).accepted(count as u64, 0);
    };
    send(0, 3);
    reaches(client, "a%20b%26c", 3);
    let mut page = open(client);
    follow(&mut page, "#events?t.stream=a+b%26c");
    says(&mut page, "tail-note", "Following a b&c.");
    send(3, 2);
    rows(&mut page, "tail-rows", 2);
    assert_eq!(page.texts("#tail-rows tbody td:first-child"), ["4", "3"], "the newest first, and only what came");
    assert_eq!(page.texts("#tail-rows tbody tr:first-child td")[2..4], ["sample", "error"]);

    // Paused: what comes is held back.
    enter(&mut page, "#tail-pause");
    says(&mut page, "tail-note", "Paused.");
    send(5, 3);
    says(&mut page, "tail-count", "5 events came, the newest 200 are kept; 3 held back");
    rows(&mut page, "tail-rows", 2);
    enter(&mut page, "#tail-pause");
    rows(&mut page, "tail-rows", 5);
    says(&mut page, "tail-note", "Following a b&c.");

    // No more rows than these, however much comes.
    send(8, 150);
    send(158, 150);
    says(&mut page, "tail-count", "305 events came");
    rows(&mut page, "tail-rows", 200);
    assert_eq!(page.text("#tail-rows tbody td:first-child"), "307");
    enter(&mut page, "#tail-rows tbody button");
    says(&mut page, "detail", "offset307");
    fits(&mut page, &format!("console-live-{}", env.engine.as_str()));
    page.resize(1280, 900);

    // Broken off, it goes on where it was.
    page.value("openTail(tail.turn, tail.source.close())");
    says(&mut page, "tail-note", "Following a b&c.");
    send(308, 1);
    page.until("document.querySelector('#tail-rows tbody td').textContent === '308'");
    says(&mut page, "tail-count", "306 events came");

    // A stream that is not there, and another view.
    page.value("document.querySelector('#tail').elements.stream.value = 'nowhere'");
    enter(&mut page, "#tail button");
    says(&mut page, "tail-note", "404 not_found");
    rows(&mut page, "tail-rows", 0);
    page.value("document.querySelector('#tail').elements.stream.value = 'a b&c'");
    enter(&mut page, "#tail button");
    says(&mut page, "tail-note", "Following a b&c.");

    // Others follow already, as many as may: it says so, waits as it is told, and goes on by itself.
    enter(&mut page, "#tail-stop");
    let headers = format!("authorization: Bearer {}\r\n", client.key());
    let at = "/v1/streams/a%20b%26c/events?offset=latest";
    let mut crowd: Vec<Feed> = Vec::new();
    until("as many follow as may", || {
        while crowd.len() < 256 {
            let one = Feed::open(client, at, &headers);
            // One that has just ended counts for a moment.
            if one.head.starts_with("HTTP/1.1 429") {
                return None;
            }
            crowd.push(one);
        }
        Some(())
    });
    page.value("document.querySelector('#tail').elements.stream.value = 'a b&c'");
    enter(&mut page, "#tail button");
    says(&mut page, "tail-note", " s: 429 too_many_followers");
    assert_eq!(page.value("tail.stream"), "a b&c", "it has not given up");
    drop(crowd);
    says(&mut page, "tail-note", "Following a b&c.");
    follow(&mut page, "#streams");
    assert_eq!(page.value("tail.source"), json!(null), "nobody looks at it any more");
    page.assert_clean();
    Ok(())
}

fn related_events_as_a_graph(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let ids: Vec<String> = (0..4).map(|_| Uuid::now_v7().to_string()).collect();
    let now = jiff::Timestamp::now();
    let event = |n: usize, seconds_ago: i64, parent: Option<usize>| {
        let parent = parent.map_or_else(String::new, |parent| format!(r#","parent_event_id":"{}""#, ids[parent]));
        let at = now - jiff::SignedDuration::from_secs(seconds_ago);
        format!(
            r#"{{"event_type":"step.{n}","source_module":"<b>s</b>","severity":"{}","payload":{{"n":{n}}},"id":"{}","timestamp":"{at}"{parent}}}"#,
            if n == 3 { "error" } else { "info" },
            ids[n]
        )
    };
    client
        .events(array([event(0, 300, None), event(1, 240, Some(0)), event(2, 120, Some(1)), event(3, 60, Some(1))]))
        .accepted(4, 0);
    let mut page = open(client);
    follow(&mut page, "#events");
    rows(&mut page, "events", 4);
    // The third of the list is the second that was sent: it has a parent and two children.
    enter(&mut page, "#events tbody tr:nth-child(3) button");
    page.until("document.querySelectorAll('#detail svg.graph .node').length === 3");
    let nodes =
        page.value("[...document.querySelectorAll('.graph .node')].map(n => n.querySelector('title').textContent)");
    assert_eq!(
        nodes,
        json!([
            "step.0 · <b>s</b>: parent 1.00, 60.0 s before",
            "step.2 · <b>s</b>: child 1.00, 2.0 min after",
            "step.3 · <b>s</b>: child 1.00, 3.0 min after"
        ])
    );
    fits(&mut page, &format!("console-graph-{}", env.engine.as_str()));
    page.resize(1280, 900);
    // By keyboard: to the last of them, and into it; then back to where it began.
    page.value("document.querySelector('#detail .graph .node').focus()");
    page.press("ArrowDown");
    page.press("ArrowRight");
    page.press("Enter");
    says(&mut page, "detail", "step.3");
    page.until("document.querySelectorAll('#detail svg.graph .node').length > 0 && document.activeElement.id === 'detail-title'");
    assert!(page.text("#detail .fields dd").contains(&ids[3]), "it is the one that was chosen");
    enter(&mut page, "#detail .back button");
    assert_eq!(page.value("document.activeElement.matches('#events tbody tr:nth-child(3) button')"), true);
    assert_eq!(page.value("document.querySelectorAll('b').length"), 0, "names are text, and no markup");
    page.assert_clean();
    Ok(())
}
