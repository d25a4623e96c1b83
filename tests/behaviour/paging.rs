//! Pages that end early, and pages of a time range that moves.

use std::collections::BTreeSet;

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::samples::{batch, texts};
use crate::tests;

pub const TESTS: &[Test] = tests!(pages_of_a_relative_time, pages_end_early_when_events_are_large);

/// The ids of each page, from the first to the last.
fn pages(client: &Client, query: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let list = client.get(&format!("/v1/events?{query}{cursor}")).expect(200);
        pages.push(texts(&list, "id").into_iter().map(str::to_owned).collect());
        let Some(next) = list["next_cursor"].as_str() else { return pages };
        cursor = format!("&cursor={next}");
    }
}

fn stored(env: &Env) -> Vec<String> {
    env.sql().column("SELECT id::text FROM events ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC")
}

fn pages_of_a_relative_time(env: &Env) -> TestResult {
    let tidegate = env.share();
    tidegate.client.events(batch(3)).accepted(3, 0);
    for query in ["from=-1h&limit=1", "from=-1h&to=-0s&limit=1"] {
        let pages = pages(&tidegate.client, query);
        assert!(pages.iter().all(|page| page.len() == 1), "{query}: {pages:?}");
        assert_eq!(pages.concat(), stored(env), "{query}");
    }
    Ok(())
}

fn pages_end_early_when_events_are_large(env: &Env) -> TestResult {
    const EVENTS: usize = 30;
    let tidegate = env.serve();
    let text = "x".repeat(1 << 20);
    for n in 0..EVENTS {
        let event = format!(r#"{{"event_type":"t","source_module":"s","payload":{{"n":{n},"text":"{text}"}}}}"#);
        tidegate.client.events(event).accepted(1, 0);
    }
    let pages = pages(&tidegate.client, "limit=30");
    assert!(pages.len() > 1 && pages[0].len() < EVENTS, "{} pages, {} in the first", pages.len(), pages[0].len());
    assert!(pages.iter().all(|page| !page.is_empty()), "{pages:?}");
    let ids = pages.concat();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), EVENTS, "each exactly once");
    assert_eq!(ids, stored(env));
    Ok(())
}
