//! What is refused, item by item, and under which code.

use super::*;
use crate::limits::{ITEMS_PER_REQUEST_MAX, METRIC_VALUES_MAX};

#[test]
fn names_are_required_and_bounded() {
    let code = |body: &str| rejection(body).code;
    assert_eq!(code(r#"{"metric_name":"n","value":1}"#), Code::MissingField);
    assert_eq!(code(r#"{"asset_id":"a","value":1}"#), Code::MissingField);
    assert_eq!(code(r#"{"asset_id":"a","metric_name":"n"}"#), Code::MissingField);
    assert_eq!(code(r#"{"asset_id":"","metric_name":"n","value":1}"#), Code::InvalidField);
    assert_eq!(code(r#"{"asset_id":"a","metric_name":"","value":1}"#), Code::InvalidField);
    assert_eq!(code(r#"{"asset_id":7,"metric_name":"n","value":1}"#), Code::InvalidField);
    let long = "ä".repeat(101);
    for (asset, name, kind) in [(long.as_str(), "n", "t"), ("a", &long, "t"), ("a", "n", &long)] {
        let body = format!(r#"{{"asset_id":"{asset}","metric_name":"{name}","metric_type":"{kind}","value":1}}"#);
        assert_eq!(code(&body), Code::FieldTooLong);
    }
    let fits = "ä".repeat(100);
    row(format!(r#"{{"asset_id":"{fits}","metric_name":"{fits}","metric_type":"{fits}","value":1}}"#));
}

#[test]
fn another_tenants_samples_are_refused() {
    assert_eq!(code(r#","value":1,"tenant_id":"globex""#), Code::TenantMismatch);
    row(metric(r#","value":1,"tenant_id":"acme""#));
}

#[test]
fn what_is_not_finite_is_named_so() {
    for text in ["NaN", "nan", "Infinity", "-Infinity", "+Inf", "inf"] {
        assert_eq!(code(&format!(",\"value\":\"{text}\"")), Code::MetricNotFinite, "{text}");
        assert_eq!(code(&format!(",\"values\":[1,\"{text}\"]")), Code::MetricNotFinite, "{text}");
        assert_eq!(code(&format!(",\"count\":2,\"sum\":\"{text}\",\"min\":0,\"max\":1")), Code::MetricNotFinite);
    }
    assert_eq!(code(r#","value":"fast""#), Code::InvalidField);
    assert_eq!(code(r#","value":"1""#), Code::InvalidField);
    assert_eq!(code(r#","value":true"#), Code::InvalidField);
}

#[test]
fn a_bare_nan_costs_its_item_alone() {
    let body = format!("[{},{},{}]", metric(",\"value\":1"), metric(",\"value\":NaN"), metric(",\"value\":-Infinity"));
    let decoded = decode(body);
    assert_eq!((decoded.items, decoded.rows.rows.len()), (3, 1));
    assert!(decoded.rejected.iter().all(|item| item.rejection.code == Code::InvalidJson));
    let lines = format!("{}\n{}\n", metric(",\"value\":NaN"), metric(",\"value\":2"));
    let decoded = decode_as(lines, BodyForm::Ndjson).unwrap();
    assert_eq!((decoded.items, decoded.rows.rows.len()), (2, 1));
}

#[test]
fn what_is_too_large_or_too_small_is_refused() {
    for text in ["1e400", "-1e400", "1.1e140", "-1e141"] {
        assert_eq!(code(&format!(",\"value\":{text}")), Code::MetricOutOfRange, "{text}");
        assert_eq!(code(&format!(",\"values\":[{text}]")), Code::MetricOutOfRange, "{text}");
    }
    assert_eq!(code(r#","count":2,"sum":2e140,"min":1e140,"max":1e140"#), Code::MetricOutOfRange);
    assert_eq!(code(r#","count":2,"sum":0,"min":-1,"max":1,"sumsq":1e281"#), Code::MetricOutOfRange);
    assert_eq!(
        code(r#","count":10,"sum":0,"min":-1e140,"max":1e140,"stddev":9e139"#),
        Code::MetricOutOfRange,
        "the squares are over the bound although the deviation is not"
    );
    for text in ["1e-101", "-5e-324", "1e-400"] {
        assert_eq!(code(&format!(",\"value\":{text}")), Code::MetricOutOfRange, "{text}");
        assert_eq!(code(&format!(",\"values\":[0,{text}]")), Code::MetricOutOfRange, "{text}");
        assert_eq!(code(&format!(r#","count":2,"sum":{text},"min":-1,"max":1"#)), Code::MetricOutOfRange);
    }
    assert_eq!(code(r#","count":2,"sum":0,"min":-1,"max":1,"sumsq":1e-201"#), Code::MetricOutOfRange);
}

#[test]
fn an_item_has_one_form() {
    for more in [
        r#","value":1,"values":[1]"#,
        r#","value":1,"count":2,"sum":2,"min":1,"max":1"#,
        r#","values":[1],"sum":1"#,
        r#","value":1,"stddev":0"#,
    ] {
        let rejection = rejection(metric(more));
        assert_eq!(rejection.code, Code::InvalidField, "{more}");
        assert!(rejection.message.contains("has both"), "{}", rejection.message);
    }
    for more in [r#","count":2"#, r#","count":2,"sum":1,"min":0"#, r#","sum":1,"min":0,"max":1"#, r#","stddev":1"#] {
        assert_eq!(code(more), Code::MissingField, "{more}");
    }
}

#[test]
fn a_summary_is_of_one_set_of_values() {
    let summary = |more: &str| code(more);
    for more in [
        r#","count":0,"sum":0,"min":0,"max":0"#,
        r#","count":-1,"sum":0,"min":0,"max":0"#,
        r#","count":1.5,"sum":0,"min":0,"max":0"#,
        r#","count":9007199254740994,"sum":0,"min":0,"max":0"#,
        r#","count":2,"sum":3,"min":2,"max":1"#,
        r#","count":2,"sum":5,"min":1,"max":2"#,
        r#","count":2,"sum":1,"min":1,"max":2"#,
        r#","count":2,"sum":3,"min":1,"max":2,"sumsq":4"#,
        r#","count":2,"sum":3,"min":1,"max":2,"sumsq":6"#,
        r#","count":2,"sum":3,"min":1,"max":2,"stddev":-1"#,
        r#","count":2,"sum":0,"min":0,"max":0,"sumsq":-1e-9"#,
        r#","count":2,"sum":3,"min":1,"max":2,"stddev":5"#,
        r#","count":2,"sum":3,"min":1,"max":2,"stddev":0.7,"sumsq":5"#,
        r#","count":1,"sum":3,"min":1,"max":2"#,
    ] {
        assert_eq!(summary(more), Code::InvalidField, "{more}");
    }
}

#[test]
fn values_are_one_to_ten_thousand_numbers() {
    for values in ["[]", "[ ]", "{}", "1", "[null]", "[1,[2]]", r#"["1"]"#, r#"[1,"a,2"]"#, "[true]"] {
        assert_eq!(code(&format!(",\"values\":{values}")), Code::InvalidField, "{values}");
    }
    let many = |n: usize| format!(",\"values\":[{}]", vec!["1"; n].join(","));
    assert_eq!(rows_of(metric(&many(METRIC_VALUES_MAX))).len(), METRIC_VALUES_MAX);
    assert_eq!(code(&many(METRIC_VALUES_MAX + 1)), Code::InvalidField);
}

#[test]
fn rows_of_values_are_bounded() {
    let item = metric(&format!(",\"values\":[{}]", vec!["1"; METRIC_VALUES_MAX].join(",")));
    let items = |n: usize| format!("[{}]", vec![item.as_str(); n].join(","));
    let full = ITEMS_PER_REQUEST_MAX / METRIC_VALUES_MAX;
    assert_eq!(decode(items(full)).rows.rows.len(), ITEMS_PER_REQUEST_MAX);
    let too_many = Err(BodyError::TooManyItems { max: ITEMS_PER_REQUEST_MAX });
    assert_eq!(decode_as(items(full + 1), BodyForm::Json), too_many);
    // 5 MB of dimensions, to be repeated ten times.
    let wide = format!(r#","values":[1,2,3,4,5,6,7,8,9,0],"dimensions":{{"x":"{}"}}"#, "x".repeat(5_000_000));
    assert_eq!(code(&wide), Code::ItemTooLarge);
}

#[test]
fn what_postgres_cannot_store_is_refused() {
    for (more, expected) in [
        (r#","value":1,"dimensions":{"a":"\u0000"}"#, Code::MetadataNul),
        (r#","value":1,"unit":"\u0000""#, Code::MetadataNul),
        (r#","value":1,"type":"\u0000""#, Code::FieldNul),
        (r#","value":1,"dimensions":{"a":"\ud800"}"#, Code::LoneSurrogate),
        (r#","value":1,"dimensions":{"a":1,"a":2}"#, Code::DuplicateKey),
        (r#","value":1,"value":2"#, Code::DuplicateKey),
        (r#","value":1,"dimensions":[1]"#, Code::InvalidField),
        (r#","value":1,"dimensions":{"a":1e2000}"#, Code::NumberTooLarge),
    ] {
        assert_eq!(code(more), expected, "{more}");
    }
    let deep = format!(",\"value\":1,\"dimensions\":{}{}", "{\"a\":".repeat(65), "1".to_owned() + &"}".repeat(65));
    assert_eq!(code(&deep), Code::TooDeep);
    assert_eq!(rejection("7").code, Code::NotAnObject);
}

#[test]
fn timestamps_have_a_window() {
    for (time, expected) in [
        ("\"2025-08-24T00:00:00Z\"", None),
        ("\"2025-08-23T23:59:59.999999Z\"", Some(Code::OutOfWindow)),
        ("\"2025-11-28T00:00:00Z\"", None),
        ("\"2025-11-28T00:00:00.000001Z\"", Some(Code::OutOfWindow)),
        ("\"yesterday\"", Some(Code::InvalidTimestamp)),
        ("true", Some(Code::InvalidField)),
    ] {
        let more = format!(",\"value\":1,\"timestamp\":{time}");
        match expected {
            None => drop(row(metric(&more))),
            Some(expected) => assert_eq!(code(&more), expected, "{time}"),
        }
    }
    for (time, advice) in [("\"2001-02-03T04:05:06Z\"", "retention.metrics"), ("0", "mend the timestamp")] {
        let message = rejection(metric(&format!(",\"value\":1,\"timestamp\":{time}"))).message;
        assert!(message.contains(advice), "{message}");
    }
}
