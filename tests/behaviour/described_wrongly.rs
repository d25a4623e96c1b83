//! What a wrong description, or a wrong answer, is told to be.

use serde_json::{Value, json};

use crate::described::Described;
use crate::env::{Env, TestResult};

/// Else the others would show nothing.
pub fn what_does_not_fit_a_description_is_told(_: &Env) -> TestResult {
    let described = Described::of(json!({ "components": { "schemas": {
        "A": { "type": "object", "required": ["a"], "properties": { "a": { "type": ["integer", "null"], "minimum": 1 } } },
        "B": { "allOf": [
            { "$ref": "#/components/schemas/A" },
            { "type": "object", "properties": { "b": { "const": true }, "t": { "type": "string", "format": "date-time" } } }
        ] },
        "C": { "anyOf": [{ "$ref": "#/components/schemas/B" }, { "enum": ["x"] }] }
    } } }));
    let check = |name: &str, value: &Value| {
        described.check(&json!({ "$ref": format!("#/components/schemas/{name}") }), value, "$")
    };
    for (name, value) in [
        ("A", json!({ "a": 1 })),
        ("A", json!({ "a": null })),
        ("B", json!({ "a": 1, "b": true, "t": "2026-01-31T00:00:00Z" })),
        ("C", json!("x")),
        ("C", json!({ "a": 2 })),
    ] {
        assert_eq!(check(name, &value), Ok(()), "{name} {value}");
    }
    for (name, value, says) in [
        ("A", json!({}), "lacks a"),
        ("A", json!({ "a": 0 }), "out of bounds"),
        ("A", json!({ "a": "1" }), "and not"),
        ("A", json!({ "a": 1, "c": 1 }), "$.c is not described"),
        ("B", json!({ "a": 1, "b": false }), "$.b is false"),
        ("B", json!({ "a": 1, "t": "now" }), "no time"),
        ("B", json!({ "a": 1, "c": 1 }), "$.c is not described"),
        ("C", json!({ "a": 1, "c": 1 }), "$.c is not described"),
        ("C", json!("y"), "not one of"),
    ] {
        let why = check(name, &value).expect_err(name);
        assert!(why.contains(says), "{name} {value}: {why}");
    }
    Ok(())
}
