//! What may follow what.

use serde_json::{Value, json};

use super::*;
use crate::limits::SCHEMA_DEPTH_MAX;
use crate::payload::value;

fn read(text: &str) -> Value {
    value(text, SCHEMA_DEPTH_MAX).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Backward and forward.
fn compatible(old: &str, new: &str) -> [bool; 2] {
    let (old, new) = (read(old), read(new));
    [Direction::Backward, Direction::Forward].map(|direction| compare(&old, &new, direction).is_empty())
}

const OBJECT: &str =
    r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer","minimum":0},"b":{"type":"string"}}}"#;

/// A union whose kinds are told apart by a member.
const UNION: &str = r##"{"oneOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}],"$defs":{
    "a":{"type":"object","required":["kind","n"],"properties":{"kind":{"const":"a"},"n":{"type":"integer"}}},
    "b":{"type":"object","required":["kind"],"properties":{"kind":{"const":"b"}},"additionalProperties":false}}}"##;

#[test]
fn what_is_wider_takes_what_is_narrower() {
    for (narrow, wide) in [
        ("false", r#"{"type":"string"}"#),
        (r#"{"type":"string"}"#, "true"),
        (r#"{"type":"string"}"#, "{}"),
        (r#"{"type":"integer"}"#, r#"{"type":"number"}"#),
        (r#"{"type":"string"}"#, r#"{"type":["string","null"]}"#),
        (r#"{"minimum":5}"#, r#"{"minimum":4}"#),
        (r#"{"exclusiveMinimum":4}"#, r#"{"minimum":4}"#),
        (r#"{"maximum":18446744073709551616}"#, r#"{"maximum":28446744073709551616}"#),
        (r#"{"type":"string","maxLength":3}"#, r#"{"maxLength":4}"#),
        (r#"{"enum":[1,2]}"#, r#"{"enum":[3,2.0,1]}"#),
        (r#"{"const":1}"#, r#"{"enum":[1,2]}"#),
        (r#"{"enum":[3,4]}"#, r#"{"minimum":3}"#),
        (r#"{"multipleOf":6}"#, r#"{"multipleOf":3}"#),
        (OBJECT, r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}"#),
        (OBJECT, r#"{"properties":{"a":{"type":"number","minimum":0}}}"#),
        (r#"{"type":"object","required":["a","b"]}"#, r#"{"type":"object","required":["b"]}"#),
        (r#"{"required":["a","b"]}"#, r#"{"minProperties":2}"#),
        (
            r#"{"properties":{"a":true},"additionalProperties":false}"#,
            r#"{"properties":{"a":true,"b":{"type":"string"}},"additionalProperties":false}"#,
        ),
        (r#"{"items":{"type":"integer"},"type":"array"}"#, r#"{"items":{"type":"number"}}"#),
        (r#"{"prefixItems":[{"const":1}],"items":false}"#, r#"{"items":{"type":"integer"}}"#),
        (r#"{"pattern":"^a","type":"string"}"#, r#"{"pattern":"^a"}"#),
        (r#"{"allOf":[{"minimum":3},{"type":"integer"}]}"#, r#"{"type":"integer","minimum":1}"#),
        (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, r#"{"type":["null","string","boolean"]}"#),
        (r#"{"type":"string"}"#, r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#),
        (
            r##"{"type":"object","properties":{"next":{"$ref":"#"},"n":{"minimum":2}}}"##,
            r##"{"type":"object","properties":{"next":{"$ref":"#"},"n":{"minimum":1}}}"##,
        ),
        (r#"{"patternProperties":{"^x":{"type":"integer"}}}"#, r#"{"patternProperties":{"^x":{"type":"number"}}}"#),
        // One more choice, of which no other takes anything: by type, by a member that tells them apart, by what is listed.
        (r#"{"type":"string"}"#, r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#),
        (
            r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
            r#"{"oneOf":[{"type":"boolean"},{"type":"null"},{"type":"string"}]}"#,
        ),
        (
            UNION,
            &UNION.replace(
                r##""oneOf":["##,
                r##""oneOf":[{"type":"object","required":["kind"],"properties":{"kind":{"const":"c"}}},"##,
            ),
        ),
        (r#"{"enum":["a","b"]}"#, r#"{"oneOf":[{"const":"a"},{"const":"b","title":"b"},{"enum":["c"]}]}"#),
        (r#"{"const":"a"}"#, r#"{"anyOf":[{"const":"a"},{"const":"b"}]}"#),
        (r#"{"type":["string","null"]}"#, r#"{"anyOf":[{"type":"string"},{"type":"null"},{"type":"integer"}]}"#),
        (
            r#"{"type":["string","null"],"maxLength":3}"#,
            r#"{"oneOf":[{"type":"null"},{"type":"string","maxLength":4}]}"#,
        ),
        (r#"{"type":"null"}"#, r#"{"enum":[null,1]}"#),
        (r#"{"contains":{"const":1},"minContains":2}"#, r#"{"contains":{"enum":[1,2]}}"#),
        (r#"{"contains":{"const":1}}"#, r#"{"contains":{"const":1},"minContains":0}"#),
        (r#"{"contains":{"const":1},"maxContains":2}"#, r#"{"contains":{"const":1},"maxContains":3}"#),
        (
            r#"{"if":{"type":"string"},"then":{"maxLength":3},"else":false}"#,
            r#"{"if":{"type":"string"},"then":{"maxLength":4}}"#,
        ),
        (r#"{"propertyNames":{"maxLength":3}}"#, r#"{"propertyNames":{"maxLength":4}}"#),
        (r#"{"dependentRequired":{"a":["b","c"]}}"#, r#"{"dependentRequired":{"a":["b"],"d":[]}}"#),
        (r#"{"required":["b"]}"#, r#"{"dependentRequired":{"a":["b"]}}"#),
    ] {
        // From narrow to wide readers of the new one can read what is there; back, readers of the old one what comes.
        assert_eq!(compatible(narrow, wide), [true, narrow == wide], "{narrow} -> {wide}");
        assert!(compatible(wide, narrow)[1], "{wide} -> {narrow}");
        assert_eq!(compatible(narrow, narrow), [true, true], "{narrow}");
        assert_eq!(compatible(wide, wide), [true, true], "{wide}");
    }
}

#[test]
fn what_says_the_same_is_compatible_both_ways() {
    for (one, other) in [
        (r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}"##, r#"{"type":"string"}"#),
        (
            r#"{"oneOf":[{"type":"string"},{"minimum":3}]}"#,
            r#"{"oneOf":[{"type":"string"},{"minimum":3}],"title":"new"}"#,
        ),
        (r#"{"allOf":[{"minLength":1},{"maxLength":3}]}"#, r#"{"maxLength":3,"minLength":1}"#),
        // What annotates, also where it says more than is looked into; and what only seems to.
        (
            r#"{"properties":{"a":true},"unevaluatedProperties":false}"#,
            r#"{"properties":{"a":{"description":"a"}},"unevaluatedProperties":false}"#,
        ),
        (
            r#"{"oneOf":[{"type":"string","description":"x"},{"minimum":3}]}"#,
            r#"{"oneOf":[{"type":"string"},{"minimum":3,"default":4}]}"#,
        ),
        (
            r##"{"not":{"$ref":"#/$defs/a"},"$defs":{"a":{"minimum":1}}}"##,
            r##"{"not":{"$ref":"#/$defs/a"},"$defs":{"a":{"minimum":1,"title":"a"}},"x-owner":"team"}"##,
        ),
        (
            r##"{"not":{"$ref":"#/$defs/a"},"$defs":{"a":{"minimum":1}}}"##,
            r##"{"not":{"$ref":"#/$defs/a"},"$defs":{"a":{"minimum":1}},"properties":{"b":true}}"##,
        ),
        (r##"{"$ref":"#a","$defs":{"one":{"$anchor":"a","type":"string"}}}"##, r#"{"type":"string"}"#),
        (r##"{"$dynamicRef":"#a","$defs":{"one":{"$dynamicAnchor":"a","type":"string"}}}"##, r#"{"type":"string"}"#),
        (r#"{"oneOf":[{"const":"a"},{"const":"b"}]}"#, r#"{"enum":["a","b"]}"#),
    ] {
        assert_eq!(compatible(one, other), [true, true], "{one} {other}");
    }
}

#[test]
fn what_cannot_be_shown_is_refused() {
    for (old, new) in [
        (OBJECT, r#"{"type":"object","required":["a","c"]}"#),
        (OBJECT, r#"{"type":"object","properties":{"b":{"type":"integer"}}}"#),
        (OBJECT, r#"{"type":"object","properties":{"c":{"type":"integer"}}}"#),
        (OBJECT, r#"{"type":"object","additionalProperties":false}"#),
        (r#"{"type":"number"}"#, r#"{"type":"integer"}"#),
        (r#"{"minimum":4}"#, r#"{"exclusiveMinimum":4}"#),
        (r#"{"minimum":4}"#, r#"{"type":"number","minimum":4}"#),
        (r#"{"enum":[1,2]}"#, r#"{"enum":[1]}"#),
        (r#"{"pattern":"^ab"}"#, r#"{"pattern":"^a"}"#),
        (r#"{"patternProperties":{"^x":{"type":"integer"}}}"#, r#"{"properties":{"xy":{"type":"integer"}}}"#),
        (r#"{"properties":{"xy":{"type":"string"}}}"#, r#"{"patternProperties":{"^x":{"type":"integer"}}}"#),
        (r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#, r#"{"type":"string"}"#),
        (r#"{"anyOf":[{"minimum":3},{"maximum":1}],"type":"integer"}"#, r#"{"minimum":3}"#),
        (r#"{"not":{"type":"string"}}"#, r#"{"not":{"type":["string","null"]}}"#),
        (
            r##"{"not":{"$ref":"#/$defs/a"},"$defs":{"a":{"minimum":1}}}"##,
            r##"{"not":{"$ref":"#/$defs/a"},"$defs":{"a":{"minimum":0}}}"##,
        ),
        // A document in it, whose references mean its own parts.
        (
            r##"{"items":{"$id":"x","$ref":"#/$defs/a","$defs":{"a":{"minimum":1}}},"$defs":{"a":true}}"##,
            r##"{"items":{"$id":"x","$ref":"#/$defs/a","$defs":{"a":{"minimum":2}}},"$defs":{"a":true}}"##,
        ),
        ("true", "false"),
        // What stands beside a rule counts.
        (r#"{"contains":{"const":1},"minContains":0}"#, r#"{"contains":{"const":1}}"#),
        (r#"{"contains":{"const":1}}"#, r#"{"contains":{"const":1},"minContains":2}"#),
        (
            r#"{"allOf":[{"contains":{"const":1}},{"contains":{"const":2},"minContains":2}]}"#,
            r#"{"contains":{"const":1},"minContains":2}"#,
        ),
        (
            r#"{"allOf":[{"contains":{"const":1}},{"contains":{"const":2},"maxContains":1}]}"#,
            r#"{"contains":{"const":1},"maxContains":1}"#,
        ),
        (
            r#"{"allOf":[{"if":{"type":"string"},"then":{"minLength":1}},{"if":{"const":1},"then":false}]}"#,
            r#"{"if":{"type":"string"},"then":false}"#,
        ),
        (
            r##"{"$dynamicRef":"#a","$defs":{"one":{"$dynamicAnchor":"a","minimum":1}}}"##,
            r##"{"$dynamicRef":"#a","$defs":{"one":{"$dynamicAnchor":"a","minimum":2}}}"##,
        ),
        // Choices that others take a part of, and members that are only called like remarks.
        (r#"{"type":"string"}"#, r#"{"oneOf":[{"type":"string"},{"maxLength":3}]}"#),
        (r#"{"enum":["a","b"]}"#, r#"{"oneOf":[{"const":"a"},{"enum":["a","b"]}]}"#),
        (UNION, &UNION.replace(r##""oneOf":["##, r##""oneOf":[{"type":"object","required":["other"]},"##)),
        (
            r#"{"properties":{"title":{"type":"string"}}}"#,
            r#"{"properties":{"title":{"type":"string","maxLength":3}}}"#,
        ),
        (
            r#"{"properties":{"a":true},"unevaluatedProperties":false}"#,
            r#"{"properties":{"b":true},"unevaluatedProperties":false}"#,
        ),
        (r##"{"$ref":"#/default","default":{"minimum":1}}"##, r##"{"$ref":"#/default","default":{"minimum":2}}"##),
    ] {
        assert!(!compatible(old, new)[0], "{old} -> {new}");
    }
}

#[test]
fn it_is_said_where() {
    let new =
        json!({ "type": "object", "required": ["a", "z"], "properties": { "a": { "type": "integer", "minimum": 1 } } });
    let reasons = compare(&read(OBJECT), &new, Direction::Backward);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.starts_with("/properties/a/minimum: ")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.starts_with("/required: ")), "{reasons:?}");
}

#[test]
fn comparing_ends() {
    let deep = |leaf: &str| {
        let defs: Vec<String> = (0..40)
            .map(|n| format!(r##""d{n}":{{"anyOf":[{{"properties":{{"a":{{"$ref":"#/$defs/d{m}"}}}}}},{{"items":{{"$ref":"#/$defs/d{m}"}}}}]}}"##, m = n + 1))
            .collect();
        read(&format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d40":{leaf}}}}}"##, defs.join(",")))
    };
    // Each way by itself would be 2^40 of them, and this would not end.
    assert!(!compare(&deep("true"), &deep("false"), Direction::Backward).is_empty());
}
