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
fn the_senders_own_extra_moves_aside() {
    assert_eq!(
        stored(r#","unit":"ms","extra":2,"dimensions":{"extra":{"x":1},"a":0}"#),
        r#"{"a":0,"extra":{"unit":"ms","extra":2,"dimensions":{"extra":{"x":1}}}}"#
    );
}
