//! A schema that is compiled, and what it says of a payload.

use std::borrow::Cow;
use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Registry, ValidationError, Validator};
use serde_json::Value;

use super::bounds;
use super::error::SchemaError;
use super::metered::{Looked, Metered, within};
use crate::limits::{JSON_DEPTH_MAX, KIB, SCHEMA_COMPILE_STACK_BYTES, SCHEMA_LOOKS_MAX, SCHEMA_PATTERN_COMPILED_BYTES};
use crate::payload::value;

/// What a byte of a schema's text becomes, about.
const BYTES_PER_BYTE: usize = 40;
/// The table that an expression keeps while it runs.
const PATTERN_TABLE_BYTES: usize = 64 * KIB;
/// The program of an ordinary expression.
const PATTERN_USUAL_BYTES: usize = 16 * KIB;

/// What a payload breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A JSON pointer into the payload; of a member that is missing or too many, where it would be or is.
    pub field: String,
    /// A JSON pointer into the schema.
    pub rule: String,
    /// What is wrong, without the payload's values.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, rule, what } = self;
        write!(f, "payload{field}: {what} (rule {rule})")
    }
}

/// A compiled schema.
pub struct Schema {
    validator: Validator<Metered>,
    bytes: usize,
}

impl Schema {
    /// Compiles a schema that is within bounds. Takes milliseconds, on a thread of its own: it goes as deep as references lead.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        let compile = || Self::compile_here(text);
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(SCHEMA_COMPILE_STACK_BYTES);
            let spawned = builder.spawn_scoped(scope, compile);
            let thread = spawned.map_err(|error| SchemaError(format!("it cannot be compiled now: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(SchemaError("the compiler of schemas has failed on it".to_owned())))
        })
    }

    fn compile_here(text: &str) -> Result<Self, SchemaError> {
        let (schema, patterns) = bounds::read(text)?;
        let validator = build(&schema, None, SCHEMA_PATTERN_COMPILED_BYTES)?;
        let programs: usize = patterns.iter().map(|pattern| pattern_bytes(pattern)).sum();
        Ok(Self { validator, bytes: text.len() * BYTES_PER_BYTE + programs })
    }

    /// With schemas that others may be referred to by; for tests.
    #[cfg(test)]
    pub(super) fn compile_among(schema: &Value, registry: &Registry<'_>) -> Result<Self, SchemaError> {
        Ok(Self { validator: build(schema, Some(registry), SCHEMA_PATTERN_COMPILED_BYTES)?, bytes: 0 })
    }

    /// What it takes in memory, about, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a payload, which is known to be JSON, is as the schema wants it.
    pub fn judge(&self, payload: &str) -> Result<(), Violation> {
        let whole = |what: String| Violation { field: String::new(), rule: String::new(), what };
        let payload = value(payload, JSON_DEPTH_MAX + 1).map_err(|error| whole(error.to_string()))?;
        self.judge_value(&payload)
    }

    /// The same of a value.
    pub fn judge_value(&self, payload: &Value) -> Result<(), Violation> {
        let judged = within(SCHEMA_LOOKS_MAX, || {
            self.validator.validate(Looked(payload)).map_err(|error| Violation::of(&error))
        });
        judged.unwrap_or_else(|| {
            let what =
                "judging it goes too far: the schema multiplies what it looks at, or leads too deep; make it simpler"
                    .to_owned();
            Err(Violation { field: String::new(), rule: String::new(), what })
        })
    }
}

fn build(
    schema: &Value,
    registry: Option<&Registry<'_>>,
    pattern_bytes: usize,
) -> Result<Validator<Metered>, SchemaError> {
    let patterns = PatternOptions::regex().size_limit(pattern_bytes).dfa_size_limit(PATTERN_TABLE_BYTES);
    let mut options =
        jsonschema::options_for::<Metered>().should_validate_formats(false).with_pattern_options(patterns).offline();
    if let Some(registry) = registry {
        options = options.with_registry(registry);
    }
    options.build(schema).map_err(|error| SchemaError(refusal(&error)))
}

/// What an expression's program takes, about: most are small.
fn pattern_bytes(pattern: &str) -> usize {
    let alone = serde_json::json!({ "pattern": pattern });
    let program = if build(&alone, None, PATTERN_USUAL_BYTES).is_ok() {
        PATTERN_USUAL_BYTES
    } else {
        SCHEMA_PATTERN_COMPILED_BYTES
    };
    program + PATTERN_TABLE_BYTES
}

/// Why a schema was not compiled, and what to do.
fn refusal(error: &ValidationError<'_>) -> String {
    let (at, what) = (error.instance_path().as_str(), error.masked_with("it").to_string());
    match error.kind() {
        ValidationErrorKind::Referencing(error) => {
            format!("it refers to what is not in it: {error}; put what it needs into its $defs, nothing is fetched")
        }
        ValidationErrorKind::Format { format } if format == "regex" => {
            let at = error.schema_path().as_str();
            format!(
                "{at}: an expression is not taken: it must be regular (no look-around, no back references) and not too large"
            )
        }
        _ => format!("{at}: {what}"),
    }
}

impl Violation {
    fn of(error: &ValidationError<'_>) -> Self {
        let mut field = error.instance_path().as_str().to_owned();
        let named = match error.kind() {
            ValidationErrorKind::Required { property } => property.as_str().map(Cow::Borrowed),
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                unexpected.first().map(|name| Cow::Owned(name.clone()))
            }
            _ => None,
        };
        if let Some(name) = named {
            field.push('/');
            field.push_str(&name.replace('~', "~0").replace('/', "~1"));
        }
        Self { field, rule: error.schema_path().as_str().to_owned(), what: error.masked_with("the value").to_string() }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
