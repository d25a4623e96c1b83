//! A schema without the remarks in it, so that what says the same is the same, whatever is written beside it.

use serde_json::{Map, Value};

use super::rules::Rules;

/// Keywords that say nothing about what is taken.
fn is_remark(name: &str) -> bool {
    matches!(
        name,
        "$schema"
            | "$comment"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "deprecated"
            | "readOnly"
            | "writeOnly"
            | "format"
            | "contentEncoding"
            | "contentMediaType"
            | "contentSchema"
    )
}

/// The schema without remarks; as it is, where a reference leads into one, or may.
pub fn bare(schema: &Value) -> Value {
    let stripped = stripped(schema);
    let (before, after) = (Rules::of(schema), Rules::of(&stripped));
    let mut is_kept = !before.has_documents();
    Rules::each_reference(schema, &mut |to| is_kept &= before.named(to).is_none() || after.named(to).is_some());
    if is_kept { stripped } else { schema.clone() }
}

/// It goes as deep as a schema may be.
fn stripped(schema: &Value) -> Value {
    let Value::Object(rules) = schema else { return schema.clone() };
    let all = |schemas: &Map<String, Value>| -> Value {
        schemas.iter().map(|(name, schema)| (name.clone(), stripped(schema))).collect::<Map<_, _>>().into()
    };
    let kept = rules.iter().filter(|(name, _)| !is_remark(name)).map(|(name, rule)| {
        let rule = match (name.as_str(), rule) {
            (
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas",
                Value::Object(schemas),
            ) => all(schemas),
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => {
                schemas.iter().map(stripped).collect::<Vec<_>>().into()
            }
            (
                "items"
                | "contains"
                | "additionalProperties"
                | "propertyNames"
                | "not"
                | "if"
                | "then"
                | "else"
                | "unevaluatedProperties"
                | "unevaluatedItems",
                schema,
            ) => stripped(schema),
            (_, other) => other.clone(),
        };
        (name.clone(), rule)
    });
    let kept: Map<String, Value> = kept.collect();
    // What says nothing takes everything.
    if kept.is_empty() { Value::Bool(true) } else { kept.into() }
}
