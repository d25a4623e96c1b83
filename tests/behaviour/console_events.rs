//! The console's views of what is stored: events over time, by their values and words, as files; pairs of them.

use crate::console::{enter, enter_button, fits, open, rows, says, test};
use crate::env::{Env, Test, TestResult, until};
use crate::samples::{array, event_with};

pub const TESTS: &[Test] =
    &[test("events_by_time_and_by_value", events_by_time_and_by_value), test("pairs_and_files", pairs_and_files)];

fn events_by_time_and_by_value(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let now = jiff::Timestamp::now();
    let at = |n: usize, severity: &str, minutes: i64| {
        let time = now - jiff::SignedDuration::from_mins(minutes);
        event_with(n, &format!(r#""asset_id":"a,{n}","severity":"{severity}","timestamp":"{time}""#))
    };
    let late = (0..3).map(|n| at(n, "error", 600));
    client.events(array(late.chain((3..8).map(|n| at(n, "info", 30))))).accepted(8, 0);
    let mut page = open(client);
    page.value("location.hash = '#events'");
    rows(&mut page, "events", 8);
    says(&mut page, "histogram-note", "8 events, 3 errors; each bar is 5m.");
    assert_eq!(page.value("document.querySelectorAll('#histogram rect:not(.place)').length"), 2, "two times");
    let cells = page.texts("#events tbody tr:last-child td");
    assert!(cells[6].starts_with("{\"n\":") && cells[3].starts_with("a,"), "{cells:?}");

    // A value that is clicked, whatever is in it, also where the list is loaded again just before; and back.
    let value = "#events tbody tr:last-child td:nth-child(4) button";
    page.value(&format!("document.querySelector('{value}').focus(); window.was = document.activeElement"));
    page.value("events.load()");
    assert_eq!(page.value("window.was.isConnected"), false, "the rows are others");
    page.press("Enter");
    rows(&mut page, "events", 1);
    says(&mut page, "histogram-note", "1 event, 1 error;");
    page.value("history.back()");
    rows(&mut page, "events", 8);

    // Words of the payload.
    page.value("document.querySelector('#filter').elements.q.value = 'sample n'");
    page.value("document.querySelector('#filter').requestSubmit()");
    page.until("location.hash === '#events?e.q=sample+n'");
    rows(&mut page, "events", 8);
    page.value("document.querySelector('#filter').elements.q.value = 'nowhere'");
    page.value("document.querySelector('#filter').requestSubmit()");
    rows(&mut page, "events", 0);
    says(&mut page, "events-note", "No event matches.");
    page.value("document.querySelector('#filter').elements.q.value = ''");
    page.value("document.querySelector('#filter').requestSubmit()");
    rows(&mut page, "events", 8);

    // Which one is open stays told.
    enter(&mut page, "#events tbody tr:last-child button");
    page.until("document.activeElement?.id === 'detail-title'");
    page.value("events.load()");
    assert_eq!(page.value("document.querySelector('#events tbody tr:last-child').ariaCurrent"), "true");

    // By keyboard to the first bar that has something, and closer.
    says(&mut page, "histogram-note", "8 events");
    let first = "histogram.bars.findIndex(b => inBar(b))";
    page.value(&format!("tellBar({first} - 1); document.querySelector('#histogram').focus()"));
    page.press("ArrowRight");
    says(&mut page, "histogram-note", "(UTC): 3 events, 3 errors.");
    page.press("Enter");
    rows(&mut page, "events", 3);
    says(&mut page, "histogram-note", "3 events, 3 errors; each bar is 1m.");
    assert!(page.value("location.hash").to_string().contains("e.range=own&e.from="));

    // The payload as a tree.
    enter(&mut page, "#events tbody button");
    page.until("document.querySelector('#detail .tree .leaf')?.textContent.startsWith('n: ') ?? false");
    fits(&mut page, &format!("console-histogram-{}", env.engine.as_str()));
    page.assert_clean();
    Ok(())
}

fn pairs_and_files(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    client.events(array((0..3).map(|n| event_with(n, r#""correlation_id":"one and the same""#)))).accepted(3, 0);
    until("they are pairs", || {
        (client.get("/v1/correlations").expect(200)["data"].as_array()?.len() == 2).then_some(())
    });
    let mut page = open(client);
    page.value("location.hash = '#correlations?c.type=causal&c.min_strength=0.9'");
    rows(&mut page, "correlations", 2);
    assert!(page.text("#correlations tbody td:last-child").starts_with("Both have the same correlation id"));
    enter(&mut page, "#correlations tbody button");
    page.until("document.querySelector('#detail .tree')?.textContent.includes('gap_ms') ?? false");
    fits(&mut page, &format!("console-correlations-{}", env.engine.as_str()));
    enter_button(&mut page, "#detail", "Show the primary event");
    page.until("document.querySelector('#detail').textContent.includes('payload')");
    page.value("document.querySelector('#pairs-filter').elements.type.value = 'temporal'");
    page.value("document.querySelector('#pairs-filter').requestSubmit()");
    rows(&mut page, "correlations", 0);
    says(&mut page, "correlations-note", "No pair in this time.");
    assert_eq!(page.value("location.hash"), "#correlations?c.type=temporal&c.min_strength=0.9");

    // All that the filter finds, as a file.
    page.value("location.hash = '#events'");
    rows(&mut page, "events", 3);
    page.value(
        "window.saved = []; const make = URL.createObjectURL; \
         URL.createObjectURL = file => { saved.push(file); return make.call(URL, file); }; 0",
    );
    for (format, lines) in [("csv", 4), ("ndjson", 3)] {
        enter(&mut page, &format!("#export-{format}"));
        says(&mut page, "events-note", &format!("events.{format}: "));
        let saved = page.value("saved.pop().text()");
        assert_eq!(saved.as_str().unwrap().lines().count(), lines, "{saved}");
    }
    page.assert_clean();
    Ok(())
}
