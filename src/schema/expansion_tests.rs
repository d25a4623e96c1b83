//! What compiling would multiply is refused before, and nothing that people write.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use serde_json::{Value, json};

use crate::limits::SCHEMA_EXPANSION_MAX;
use crate::schema::{Schema, SchemaError};

fn compiled(schema: &Value) -> Result<Schema, SchemaError> {
    Schema::compile(&schema.to_string())
}

/// Definitions of which each refers ten times to the one before, by what `refer` makes of ten references.
fn multiplied(steps: usize, refer: impl Fn(Vec<Value>) -> Value) -> Value {
    let mut defs = serde_json::Map::new();
    defs.insert("d0".into(), json!({ "properties": { "a": true }, "prefixItems": [true] }));
    for step in 1..=steps {
        let to = json!({ "$ref": format!("#/$defs/d{}", step - 1) });
        defs.insert(format!("d{step}"), refer(vec![to; 10]));
    }
    json!({ "$defs": defs, "$ref": format!("#/$defs/d{steps}") })
}

fn with(mut schema: Value, keyword: &str, rule: Value) -> Value {
    schema[keyword] = rule;
    schema
}

#[test]
fn what_unevaluated_would_multiply_is_refused() {
    let all = |refs: Vec<Value>| json!({ "allOf": refs });
    let plain = multiplied(24, all);
    compiled(&plain).map(|schema| assert!(schema.bytes() < 1 << 20)).unwrap();
    let by_name = |refs: Vec<Value>| {
        let members = refs.into_iter().enumerate().map(|(n, to)| (format!("m{n}"), to));
        json!({ "dependentSchemas": members.collect::<serde_json::Map<_, _>>() })
    };
    let by_condition = |refs: Vec<Value>| json!({ "if": true, "then": refs[0], "else": refs[1] });
    let any = |refs: Vec<Value>| json!({ "anyOf": refs });
    for schema in [
        with(plain.clone(), "unevaluatedProperties", json!(false)),
        with(plain.clone(), "unevaluatedItems", json!(false)),
        with(with(plain.clone(), "$id", json!("https://example.com/x#")), "unevaluatedItems", json!(false)),
        with(plain, "unevaluatedProperties", json!({ "type": "string" })),
        with(multiplied(24, any), "unevaluatedItems", json!({ "type": "string" })),
        with(multiplied(24, by_name), "unevaluatedProperties", json!(false)),
        with(multiplied(24, by_condition), "unevaluatedProperties", json!(false)),
        with(multiplied(24, by_condition), "unevaluatedItems", json!(false)),
    ] {
        let why = compiled(&schema).err().unwrap().0;
        assert!(why.contains(&format!("more than {SCHEMA_EXPANSION_MAX} subschemas larger")), "{why}");
        assert!(why.contains("unevaluatedProperties") && why.contains("name the members"), "{why}");
    }
}

#[test]
fn references_in_circles_are_followed_in_each_order() {
    let all: Vec<Value> = (0..12).map(|to| json!({ "$ref": format!("#/$defs/d{to}") })).collect();
    let defs: serde_json::Map<_, _> = (0..12).map(|n| (format!("d{n}"), json!({ "allOf": all.clone() }))).collect();
    let circle = json!({ "$defs": defs, "$ref": "#/$defs/d0" });
    compiled(&circle).unwrap();
    let why = compiled(&with(circle, "unevaluatedProperties", json!(false))).err().unwrap().0;
    assert!(why.contains("multiply"), "{why}");
}

#[test]
fn documents_that_lead_to_each_other_in_many_ways_are_refused() {
    let mut defs = serde_json::Map::new();
    for step in 0..28 {
        for side in ["a", "b"] {
            let on = |to: &str| json!({ "$ref": format!("{to}{}", step + 1) });
            let rule = if step == 27 { json!({ "type": "integer" }) } else { json!({ "allOf": [on("a"), on("b")] }) };
            defs.insert(format!("{side}{step}"), with(rule, "$id", json!(format!("{side}{step}"))));
        }
    }
    let schema = json!({ "$id": "https://example.com/root", "$defs": defs, "$ref": "a0" });
    let why = compiled(&schema).err().unwrap().0;
    assert!(why.contains("multiply"), "{why}");
}

#[test]
fn chains_that_are_too_deep_are_refused_and_others_are_compiled_and_dropped() {
    // As deep as definitions can be nested, and each leads on to the next.
    let chain = |count: usize| {
        let defs = (0..count).map(|n| {
            let on = (0..13).fold(json!({ "$ref": format!("#/$defs/d{}", n + 1) }), |on, _| json!({ "allOf": [on] }));
            (format!("d{n}"), on)
        });
        let defs: serde_json::Map<_, _> = defs.chain([(format!("d{count}"), json!(true))]).collect();
        json!({ "$defs": defs, "$ref": "#/$defs/d0" })
    };
    compiled(&chain(120)).unwrap();
    for keyword in ["unevaluatedProperties", "unevaluatedItems"] {
        let why = compiled(&with(chain(120), keyword, json!(false))).err().unwrap().0;
        assert!(why.contains("too deep"), "{why}");
        // On a thread as the server's are.
        let deep = compiled(&with(chain(8), keyword, json!(false))).unwrap();
        let dropped = std::thread::Builder::new().stack_size(2 << 20).spawn(move || drop(deep));
        dropped.unwrap().join().unwrap();
    }
}

#[test]
fn what_people_write_is_taken() {
    let tree = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "children": { "items": { "$ref": "#" } } },
        "unevaluatedProperties": false,
    });
    let schema = compiled(&tree).unwrap();
    assert!(schema.judge(r#"{"name":"a","children":[{"name":"b","children":[]}]}"#).is_ok());
    assert_eq!(schema.judge(r#"{"children":[{"c":1}]}"#).unwrap_err().field, "/children/0/c");
    // A base that many extend, each closed.
    let kinds: Vec<Value> = (0..60)
        .map(|n| {
            json!({
                "allOf": [{ "$ref": "#/$defs/base" }, { "$ref": "#/$defs/owned" }],
                "properties": { "kind": { "const": n }, "of": { "$ref": "#" } }, "unevaluatedProperties": false,
            })
        })
        .collect();
    let extended = json!({
        "$defs": {
            "base": { "properties": { "kind": true, "id": { "type": "string" } }, "required": ["kind"] },
            "owned": { "allOf": [{ "$ref": "#/$defs/base" }], "properties": { "owner": { "type": "string" } } },
        },
        "oneOf": kinds, "unevaluatedProperties": false,
    });
    let schema = compiled(&extended).unwrap();
    assert!(schema.judge(r#"{"kind":7,"id":"x","owner":"y","of":{"kind":8}}"#).is_ok());
    assert!(schema.judge(r#"{"kind":7,"x":1}"#).is_err());
    // An open tree and one that closes it, by a dynamic reference.
    let extensible = json!({
        "$id": "https://example.com/strict", "$dynamicAnchor": "node", "$ref": "tree", "unevaluatedProperties": false,
        "$defs": { "tree": {
            "$id": "tree", "$dynamicAnchor": "node",
            "properties": { "data": true, "children": { "items": { "$dynamicRef": "#node" } } },
        } },
    });
    let schema = compiled(&extensible).unwrap();
    assert!(schema.judge(r#"{"children":[{"data":1}]}"#).is_ok());
    assert!(schema.judge(r#"{"children":[{"daat":1}]}"#).is_err());
}

#[test]
fn what_is_compiled_again_counts_for_its_memory() {
    let all = |refs: Vec<Value>| json!({ "allOf": refs });
    let (plain, more) = (multiplied(3, all), with(multiplied(3, all), "unevaluatedProperties", json!(false)));
    let (plain, more) = (compiled(&plain).unwrap().bytes(), compiled(&more).unwrap().bytes());
    assert!(more > plain + 1000 * 1024, "{plain} {more}");
}
