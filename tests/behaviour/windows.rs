//! Lists and look-ups that go back window by window find what one look at everything finds.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use crate::client::Client;
use crate::env::{Env, Test, TestResult};
use crate::process::Service;
use crate::samples::{array, texts};
use crate::tests;

pub const TESTS: &[Test] =
    tests!(any_page_of_any_filter, one_event_of_any_age, an_id_that_is_asked_for_again_and_again);

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Ages in seconds whose windows differ, and those around their bounds.
const AGES_S: [u64; 9] = [0, 599, 601, 3_601, 21_601, 86_399, 86_401, 7 * 86_400 + 5, 31 * 86_400];

/// 400 events of all ages, many at the same microsecond, few of which have an asset or a correlation id.
fn sent(tidegate: &Service) -> Uuid {
    let mut random = Random(7);
    let flow = Uuid::from_u128(77);
    let now = Timestamp::now();
    for request in 0..4 {
        let events = (0..100).map(|n| {
            let age = AGES_S[usize::try_from(random.below(9)).unwrap()] + random.below(3);
            let at = now.checked_sub(SignedDuration::from_secs(i64::try_from(age).unwrap())).unwrap();
            let rare = random.below(20);
            let asset = if rare == 0 { r#","asset_id":"rare""# } else { r#","asset_id":"common""# };
            let correlation = if rare == 1 { format!(r#","correlation_id":"{flow}""#) } else { String::new() };
            format!(
                r#"{{"event_type":"t{}","source_module":"s","payload":{{"n":{}}},"timestamp":"{at}"{asset}{correlation}}}"#,
                random.below(3),
                request * 100 + n
            )
        });
        tidegate.client.events(array(events.collect::<Vec<_>>())).accepted(100, 0);
    }
    flow
}

fn pages(client: &Client, query: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let list = client.get(&format!("/v1/events?{query}{cursor}")).expect(200);
        ids.extend(texts(&list, "id").into_iter().map(str::to_owned));
        let Some(next) = list["next_cursor"].as_str() else { return ids };
        cursor = format!("&cursor={next}");
    }
}

fn any_page_of_any_filter(env: &Env) -> TestResult {
    let tidegate = env.share();
    let flow = sent(&tidegate);
    let sql = env.sql();
    let to = Timestamp::now().checked_sub(SignedDuration::from_hours(2)).unwrap();
    let filters: BTreeMap<String, String> = [
        (String::new(), "true".to_owned()),
        ("event_type=t1".into(), "event_type = 't1'".into()),
        ("asset_id=rare".into(), "asset_id = 'rare'".into()),
        (format!("correlation_id={flow}"), format!("correlation_id = '{flow}'")),
        ("asset_id=none".into(), "false".into()),
    ]
    .into();
    for (filter, condition) in &filters {
        for (range, bounds) in [
            (String::new(), "true".to_owned()),
            (format!("&to={to}"), format!("timestamp < '{to}'")),
            ("&from=-40d".into(), "true".into()),
        ] {
            let expected: Vec<String> = sql.column(&format!(
                "SELECT id::text FROM events WHERE {condition} AND {bounds} ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC"
            ));
            for limit in [7, 100, 1000] {
                let found = pages(&tidegate.client, &format!("{filter}{range}&limit={limit}"));
                assert_eq!(found, expected, "{filter} {range} by {limit}");
            }
        }
    }
    Ok(())
}

fn one_event_of_any_age(env: &Env) -> TestResult {
    let tidegate = env.share();
    let now = Timestamp::now();
    let days = |count: i64| now.checked_sub(SignedDuration::from_hours(24 * count)).unwrap();
    let v7 = |at: Timestamp, n: u128| {
        let millis = u128::try_from(at.as_millisecond()).unwrap();
        Uuid::from_u128(millis << 80 | 7 << 76 | 2 << 62 | n)
    };
    // Id, and the days ago that it happened: ids that tell no time, the right one, and a wrong one.
    let events = [
        (Uuid::from_u128(1), 0),
        (Uuid::from_u128(2), 3),
        (Uuid::from_u128(3), 40),
        (v7(days(40), 4), 40),
        (v7(days(0), 5), 40),
        (v7(days(40), 6), 0),
    ];
    let items = events.map(|(id, age)| {
        format!(
            r#"{{"event_type":"t","source_module":"s","payload":{{"days":{age}}},"id":"{id}","timestamp":"{}"}}"#,
            days(age)
        )
    });
    tidegate.client.events(array(items)).accepted(6, 0);
    let other = tidegate.with(&env.key("other", "read"));
    for (id, age) in events {
        let path = format!("/v1/events/{id}");
        let found = tidegate.client.get(&path).expect(200);
        assert_eq!((&found["id"], &found["payload"]["days"]), (&Value::from(id.to_string()), &age.into()));
        other.get(&path).problem(404, "not_found");
    }
    // Several with one id that tells no time: the newest.
    let id = Uuid::from_u128(9);
    for age in [1, 10, 4] {
        let at = days(age);
        let event = format!(
            r#"{{"event_type":"t","source_module":"s","payload":{{"days":{age}}},"id":"{id}","timestamp":"{at}"}}"#
        );
        tidegate.client.events(event).accepted(1, 0);
    }
    assert_eq!(tidegate.client.get(&format!("/v1/events/{id}")).expect(200)["payload"]["days"], 1);
    tidegate.client.get(&format!("/v1/events/{}", v7(days(2), 99))).problem(404, "not_found");
    Ok(())
}

/// A session may keep the plan of such a look-up: it must see what has come since, also in days that had none.
fn an_id_that_is_asked_for_again_and_again(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["readers=1"]);
    let (sql, now) = (env.sql(), Timestamp::now());
    let (flow, none) = (Uuid::from_u128(11), Uuid::from_u128(13));
    let other = tidegate.with(&env.key("other", "read"));
    for age in (20..90).step_by(7) {
        for (hours, correlation) in [(0, flow), (1, flow), (0, Uuid::from_u128(12))] {
            let at = now.checked_sub(SignedDuration::from_hours(24 * age + hours)).unwrap();
            let event = format!(
                r#"{{"event_type":"t","source_module":"s","payload":{{}},"timestamp":"{at}","correlation_id":"{correlation}"}}"#
            );
            tidegate.client.events(event).accepted(1, 0);
        }
        for (order, way) in [("desc", "DESC"), ("asc", "ASC")] {
            let expected: Vec<String> = sql.column(&format!(
                "SELECT id::text FROM events WHERE correlation_id = '{flow}' \
                 ORDER BY timestamp {way}, batch_id {way}, batch_seq {way}"
            ));
            let to = now.checked_sub(SignedDuration::from_hours(24)).unwrap();
            for range in [String::new(), format!("&to={to}")] {
                let query = format!("correlation_id={flow}&order={order}{range}");
                for limit in [5, 100] {
                    assert_eq!(pages(&tidegate.client, &format!("{query}&limit={limit}")), expected, "{query}");
                }
            }
        }
        assert!(pages(&other, &format!("correlation_id={flow}")).is_empty());
        assert!(pages(&tidegate.client, &format!("correlation_id={none}")).is_empty());
    }
    Ok(())
}
