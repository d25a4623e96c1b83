//! The three forms of an item, and defaults.

use super::*;

#[test]
fn a_sample_is_a_row_of_its_value() {
    let row = row(metric(
        r#","timestamp":"2025-11-20T12:00:00Z","metric_type":"histogram","value":12.5,"dimensions":{"a":1}"#,
    ));
    assert_eq!(row.time("timestamp"), RECEIVED_AT_US - DAY_US / 2);
    assert_eq!(row.time("created_at"), RECEIVED_AT_US);
    let texts = ["tenant_id", "asset_id", "metric_type", "metric_name"].map(|name| row.text(name));
    assert_eq!(texts, ["acme", "gpt-4", "histogram", "latency"]);
    assert_eq!(row.numbers(), (1, Some(12.5), None, None, None));
    assert_eq!(row.dimensions(), Some(r#"{"a":1}"#));
}

#[test]
fn what_is_absent_has_a_default() {
    let row = row(metric(r#","value":-0.0"#));
    assert_eq!((row.time("timestamp"), row.text("metric_type")), (RECEIVED_AT_US, "gauge"));
    assert_eq!(row.double("value_sum").map(f64::to_bits), Some(0), "zero has no sign");
    assert_eq!(row.dimensions(), None);
}

#[test]
fn aliases_stand_for_names_that_are_absent() {
    let body = r#"{"asset_id":"a","name":"n","type":"t","time":1763683200,"value":1,"dimensions":null}"#;
    let row = row(body);
    assert_eq!((row.text("metric_name"), row.text("metric_type")), ("n", "t"));
    assert_eq!(row.time("timestamp"), RECEIVED_AT_US);
    assert_eq!(row.dimensions(), None);
    let row = super::row(metric(r#","occurred_at":1763683199000,"value":1"#));
    assert_eq!(row.time("timestamp"), RECEIVED_AT_US - 1_000_000);
}

#[test]
fn zero_negative_and_huge_values_are_values() {
    for (text, value) in [("0", 0.0), ("-273.15", -273.15), ("1e140", 1e140), ("-1e140", -1e140), ("1e-100", 1e-100)] {
        assert_eq!(row(metric(&format!(",\"value\":{text}"))).double("value_sum"), Some(value), "{text}");
    }
}

#[test]
fn values_are_rows_of_their_own() {
    let body =
        format!("[{},{}]", metric(r#","values":[ 1 , -2.5,3e2 ],"dimensions":{"k":"v"}"#), metric(",\"value\":9"));
    let decoded = decode(&body);
    assert_eq!((decoded.items, decoded.accepted(), decoded.rejected.len()), (2, 2, 0));
    let rows = Row::all(COPY_COLUMNS, &decoded);
    assert_eq!(rows.iter().map(|row| row.double("value_sum").unwrap()).collect::<Vec<_>>(), [1.0, -2.5, 300.0, 9.0]);
    assert!(rows[..3].iter().all(|row| row.dimensions() == Some(r#"{"k":"v"}"#) && row.int("value_count") == 1));
    let of_items: Vec<u32> = decoded.rows.rows.iter().map(|row| row.item).collect();
    assert_eq!(of_items, [0, 0, 0, 1]);
    assert_eq!(decoded.rows.streams, ["metrics"]);
}

#[test]
fn a_summary_keeps_its_numbers() {
    let numbers = |more: &str| row(metric(more)).numbers();
    let base = r#","count":4,"sum":10,"min":1,"max":4"#;
    assert_eq!(numbers(base), (4, Some(10.0), Some(1.0), Some(4.0), None));
    assert_eq!(numbers(&format!("{base},\"sumsq\":30")).4, Some(5.0));
    // Of 1, 2, 3, 4: the variance of the sample is 5/3.
    let (.., m2) = numbers(&format!("{base},\"stddev\":1.29099444873581"));
    assert!((m2.unwrap() - 5.0).abs() < 1e-12, "{m2:?}");
    assert_eq!(numbers(r#","count":4,"sum":8,"min":2,"max":2,"stddev":0"#).4, Some(0.0));
    assert_eq!(numbers(r#","count":1e3,"sum":0,"min":-1,"max":1"#).0, 1000);
    assert_eq!(numbers(r#","count":9007199254740992,"sum":0,"min":0,"max":0"#).0, 1 << 53);
}

#[test]
fn a_spread_outlives_large_values() {
    let m2 = |more: &str| row(metric(more)).numbers().4;
    // 1e12 + 0, 10, ..., 90.
    let large = r#","count":10,"sum":10000000000450,"min":1000000000000,"max":1000000000090"#;
    let spread = m2(&format!("{large},\"stddev\":30.276503540974916")).unwrap();
    assert!((spread - 8250.0).abs() < 1e-6, "{spread}");
    // Of the squares' sum, 1e25, a double keeps no more than 2e9.
    assert_eq!(m2(&format!("{large},\"sumsq\":1.00000000009e25")), None);
    assert_eq!(m2(r#","count":2,"sum":2e12,"min":1e12,"max":1e12,"sumsq":2e24"#), Some(0.0), "no spread at all");
    assert_eq!(m2(large), None);
}

#[test]
fn a_summary_of_one_is_a_sample() {
    let row = row(metric(r#","count":1,"sum":7,"min":7,"max":7,"stddev":0"#));
    assert_eq!(row.numbers(), (1, Some(7.0), None, None, None));
}

#[test]
fn sums_of_rounded_numbers_still_fit() {
    // Three times 0.1, added up as doubles and as floats.
    row(metric(r#","count":3,"sum":0.30000000000000004,"min":0.1,"max":0.1,"sumsq":0.03"#));
    row(metric(r#","count":3,"sum":0.30000001,"min":0.1,"max":0.1"#));
}

#[test]
fn a_row_knows_where_timescale_puts_it() {
    let decoded = decode(metric(",\"value\":1"));
    assert_eq!(decoded.rows.rows[0].space, 926_395_477, "the hash of gpt-4");
    assert_eq!(decoded.rows.rows[0].event_id(), None);
}
