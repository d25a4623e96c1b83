//! What a look at the rules of several schemas tells about what they take together.

use std::sync::LazyLock;

use serde_json::Value;

use super::equality::Values;
use super::rules::{Rules, is_rule, types_of};
use crate::limits::SCHEMA_VALUES_PER_STEP;

/// A schema for each type, numbers being one; by them what may be of several types is looked at type by type.
static OF_TYPES: LazyLock<[(&str, Value); 6]> = LazyLock::new(|| {
    ["null", "boolean", "number", "string", "array", "object"].map(|name| (name, serde_json::json!({ "type": name })))
});

/// Whether there is no payload that keeps all of them, as far as types and `false` tell.
pub fn takes_nothing(all: &[&Value]) -> bool {
    all.iter().any(|schema| **schema == Value::Bool(false)) || types_of(all).is_empty()
}

pub fn of_type(name: &str) -> Option<&'static Value> {
    OF_TYPES.iter().find(|(of, _)| *of == name).map(|(_, schema)| schema)
}

/// A schema for each of the types, where several are named.
pub fn typed(all: &[&Value]) -> Option<Vec<&'static Value>> {
    all.iter().any(|schema| schema.get("type").is_some_and(Value::is_array)).then(|| {
        let types = types_of(all);
        let is_one = |name: &str| types.contains(&name) || name == "number" && types.contains(&"integer");
        OF_TYPES.iter().filter(|(name, _)| is_one(name)).map(|(_, schema)| schema).collect()
    })
}

/// The values of schemas that do nothing but list some.
pub fn listed(parts: &[Value]) -> Option<Vec<&Value>> {
    let mut all = Vec::new();
    for part in parts {
        let mut rules = part.as_object()?.iter().filter(|(name, _)| is_rule(name));
        match (rules.next()?, rules.next()) {
            ((name, value), None) if name == "const" => all.push(value),
            ((name, values), None) if name == "enum" => all.extend(values.as_array()?),
            _ => return None,
        }
    }
    Some(all)
}

/// Whether all that is taken is among these values.
pub fn is_among(all: &[&Value], types: &[&str], taken: &[&Value], steps_left: &mut usize) -> bool {
    let lists = all.iter().filter_map(|schema| schema.get("enum")?.as_array()).map(Vec::len).sum::<usize>();
    *steps_left = steps_left.saturating_sub((taken.len() + lists) / SCHEMA_VALUES_PER_STEP);
    let taken = Values::of(taken.iter().copied());
    let by_types = types.iter().all(|kind| match *kind {
        "null" => taken.has(&Value::Null),
        "boolean" => [true, false].into_iter().all(|value| taken.has(&Value::Bool(value))),
        _ => false,
    });
    by_types
        || all.iter().any(|schema| {
            schema.get("const").is_some_and(|value| taken.has(value))
                || schema
                    .get("enum")
                    .and_then(Value::as_array)
                    .is_some_and(|list| list.iter().all(|value| taken.has(value)))
        })
}

/// `dependentRequired`: each name that is wanted beside another must be there anyway, or is wanted beside it here as well.
pub fn dependents_hold(all: &[&Value], rule: &Value) -> bool {
    let names =
        |of: Option<&Value>, wanted: &Value| of.and_then(Value::as_array).is_some_and(|names| names.contains(wanted));
    rule.as_object().into_iter().flatten().all(|(beside, wanted)| {
        let never = Rules::member(all, beside).into_iter().any(|schema| *schema == Value::Bool(false));
        let is_there = |name: &Value| {
            all.iter().any(|schema| {
                names(schema.get("required"), name)
                    || names(schema.get("dependentRequired").and_then(|of| of.get(beside)), name)
            })
        };
        never || wanted.as_array().is_some_and(|wanted| wanted.iter().all(is_there))
    })
}
