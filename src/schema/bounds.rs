//! What a schema may be before it is compiled.

use serde_json::Value;

use super::error::SchemaError;
use crate::limits::{
    SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_PATTERN_BYTES_MAX, SCHEMA_PATTERNS_MAX, SCHEMA_REFS_MAX,
};
use crate::payload::value;

/// The only dialect there is, and how it may be named.
const DIALECT: [&str; 2] =
    ["https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#"];

/// The expressions of a schema.
#[derive(Debug, Default)]
pub struct Patterns {
    /// `pattern`: strings are matched by them.
    pub of_strings: Vec<String>,
    /// `patternProperties`: names of members are.
    pub of_names: Vec<String>,
}

/// A text as a schema within bounds, and the expressions in it.
pub fn read(text: &str) -> Result<(Value, Patterns), SchemaError> {
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(SchemaError(format!("it has {} bytes, and may have {SCHEMA_BYTES_MAX}", text.len())));
    }
    let schema = value(text, SCHEMA_DEPTH_MAX).map_err(|error| SchemaError(error.to_string()))?;
    let mut patterns = Patterns::default();
    look(&schema, "", &mut patterns)?;
    if patterns.of_strings.len() + patterns.of_names.len() > SCHEMA_PATTERNS_MAX {
        return Err(SchemaError(format!("it has more than {SCHEMA_PATTERNS_MAX} expressions")));
    }
    if references(&schema) > SCHEMA_REFS_MAX {
        return Err(SchemaError(format!("it has more than {SCHEMA_REFS_MAX} references")));
    }
    Ok((schema, patterns))
}

fn references(schema: &Value) -> usize {
    match schema {
        Value::Array(elements) => elements.iter().map(references).sum(),
        Value::Object(members) => {
            let is_one = |name: &str| usize::from(matches!(name, "$ref" | "$dynamicRef"));
            members.iter().map(|(name, member)| is_one(name) + references(member)).sum()
        }
        _ => 0,
    }
}

/// Goes as deep as [`read`] has let it be.
fn look(schema: &Value, at: &str, patterns: &mut Patterns) -> Result<(), SchemaError> {
    match schema {
        Value::Array(elements) => {
            elements.iter().enumerate().try_for_each(|(n, element)| look(element, &format!("{at}/{n}"), patterns))
        }
        Value::Object(members) => {
            for (name, member) in members {
                let here = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                let note = |pattern: &str, into: &mut Vec<String>| {
                    if pattern.len() > SCHEMA_PATTERN_BYTES_MAX {
                        let what = "the expression is longer than";
                        return Err(SchemaError(format!("{here}: {what} {SCHEMA_PATTERN_BYTES_MAX} bytes")));
                    }
                    into.push(pattern.to_owned());
                    Ok(())
                };
                match (name.as_str(), member) {
                    ("pattern", Value::String(pattern)) => note(pattern, &mut patterns.of_strings)?,
                    ("patternProperties", Value::Object(by_pattern)) => {
                        by_pattern.keys().try_for_each(|key| note(key, &mut patterns.of_names))?
                    }
                    ("$schema", Value::String(dialect)) if !DIALECT.contains(&dialect.as_str()) => {
                        return Err(SchemaError(format!("{here}: only {} is known; leave it out", DIALECT[0])));
                    }
                    _ => {}
                }
                look(member, &here, patterns)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
