//! Dimensions reach jsonb as they were sent; what no column takes is kept in them.

use super::*;

fn stored(more: &str) -> String {
    row(metric(&format!(",\"value\":1{more}"))).dimensions().unwrap().to_owned()
}

#[test]
fn their_text_is_copied() {
    let text = r#"{ "big":12345678901234567890.10, "e": 1e400,"n":{"x":[0.1000,null]} , "extra":1}"#;
    assert_eq!(stored(&format!(",\"dimensions\":{text}")), text);
    assert_eq!(stored(",\"dimensions\":{}"), "{}");
}

#[test]
fn unknown_fields_are_kept() {
    assert_eq!(stored(r#","unit":"ms","n": null"#), r#"{"extra":{"unit":"ms","n":null}}"#);
    assert_eq!(stored(r#","unit":"ms","dimensions":{"a": 1,"b":[ ]}"#), r#"{"a":1,"b":[ ],"extra":{"unit":"ms"}}"#);
}

#[test]
fn losing_aliases_are_kept() {
    assert_eq!(stored(r#","name":"other","dimensions":{}"#), r#"{"extra":{"name":"other"}}"#);
}

#[test]
fn what_is_unknown_makes_no_series() {
    let series = |more: &str| row(metric(&format!(",\"value\":1{more}"))).uuid("series_id");
    let own = series(r#","dimensions":{"a":1}"#);
    assert_eq!(series(r#","unit":"ms","dimensions":{"a":1}"#), own);
    assert_eq!(series(r#","dimensions": { "\u0061" : 1 }"#), own);
    assert_ne!(series(r#","dimensions":{"a":1,"extra":"x"}"#), own);
    assert_eq!(
        series(r#","unit":"ms","dimensions":{"a":1,"extra":"x"}"#),
        series(r#","dimensions":{"extra":"x","a":1}"#),
    );
    assert!(series(r#","unit":"ms""#).is_nil() && series(r#","dimensions":{}"#).is_nil());
}

#[test]
fn a_row_tells_its_series() {
    let decoded = decode(metric(r#","metric_type":"counter","values":[1,2],"dimensions":{"a":"ä"}"#));
    let tuples =
        || decoded.rows.rows.iter().map(|row| &decoded.rows.bytes[row.bytes.start as usize..row.bytes.end as usize]);
    for tuple in tuples() {
        let series_id = row(metric(r#","value":1,"dimensions":{"a":"ä"}"#)).uuid("series_id");
        let told = Series {
            tenant_id: "acme",
            asset_id: "gpt-4",
            metric_type: "counter",
            metric_name: "latency",
            series_id,
            dimensions: Some(r#"{"a":"ä"}"#),
        };
        assert_eq!(series(tuple), told);
    }
    assert!(tuples().all(|tuple| series_key(tuple) == series_key(tuples().next().unwrap())));
    let other = decode(metric(r#","value":1,"dimensions":{"a":"a"}"#));
    assert_ne!(series_key(&other.rows.bytes), series_key(tuples().next().unwrap()));
    assert_eq!(series(&decode(metric(",\"value\":1")).rows.bytes).dimensions, None);
}

#[test]
fn the_senders_own_extra_moves_aside() {
    assert_eq!(
        stored(r#","dimensions":{"extra":{"x":1},"a":0}"#),
        r#"{"a":0,"extra":{"dimensions":{"extra":{"x":1}}}}"#,
        "where it would be taken for Tidegate's own"
    );
    assert_eq!(
        stored(r#","unit":"ms","extra":2,"dimensions":{"extra":{"x":1},"a":0}"#),
        r#"{"a":0,"extra":{"unit":"ms","extra":2,"dimensions":{"extra":{"x":1}}}}"#
    );
}
