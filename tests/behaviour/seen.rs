//! Which assets and series there are, and since when.

use jiff::Timestamp;

use crate::derived::{hours_ago, settled, time};
use crate::env::{Env, Test, TestResult};
use crate::postgres::Sql;
use crate::samples::event_with;
use crate::tests;

pub const TESTS: &[Test] = tests!(assets_are_seen_from_first_to_last);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn assets(sql: &Sql) -> Vec<(String, String, String, String, Timestamp, Timestamp)> {
    let rows = sql.rows(
        "SELECT tenant_id, asset_id, asset_name, asset_type, first_seen, last_seen FROM asset_metadata ORDER BY 1, 2",
        &[],
    );
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))).collect()
}

fn assets_are_seen_from_first_to_last(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let sql = env.sql();
    let other = tidegate.with(&env.key("other", "ingest"));
    let start = hours_ago(30);
    let event =
        |asset: &str, at_s: i64| event_with(1, &format!(r#""asset_id":"{asset}","timestamp":"{}""#, time(at_s * 1000)));
    let body = [event("a", start + 7), event("a", start + 3600), event("b", start + 8)].join(",");
    tidegate.client.events(format!("[{body},{}]", crate::samples::event(1))).accepted(4, 0);
    other.events(event("a", start + 9)).accepted(1, 0);
    settled(&sql);
    let tenant: String = sql.one("SELECT tenant_id FROM organizations WHERE tenant_id <> 'other'");
    let row = |tenant: &str, asset: &str, first: i64, last: i64| {
        (tenant.to_owned(), asset.to_owned(), asset.to_owned(), "unknown".to_owned(), at(first), at(last))
    };
    let mut expected = vec![
        row(&tenant, "a", start + 7, start + 3600),
        row(&tenant, "b", start + 8, start + 8),
        row("other", "a", start + 9, start + 9),
    ];
    expected.sort();
    assert_eq!(assets(&sql), expected);
    // Late data moves the first time back; what widens nothing is not written.
    let written =
        || -> Vec<String> { sql.column("SELECT xmin::text FROM asset_metadata ORDER BY tenant_id, asset_id") };
    let before = written();
    settled(&sql);
    assert_eq!(written(), before);
    tidegate.client.events(event("b", start - 86_400)).accepted(1, 0);
    settled(&sql);
    expected.iter_mut().find(|row| row.0 == tenant && row.1 == "b").unwrap().4 = at(start - 86_400);
    assert_eq!(assets(&sql), expected);
    Ok(())
}
