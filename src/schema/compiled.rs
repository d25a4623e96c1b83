//! A schema that is compiled, and what it says of a payload.

use std::borrow::Cow;
use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Registry, ValidationError, Validator};
use serde_json::Value;

use super::bounds::{self, Patterns};
use super::error::SchemaError;
use super::expansion::expansion;
use super::looks::{TextLooks, within};
use super::metered::{Looked, Metered};
use crate::limits::{
    JSON_DEPTH_MAX, KIB, SCHEMA_COMPILE_STACK_BYTES, SCHEMA_LARGE_PATTERN_LOOKS, SCHEMA_LOOKS_MAX,
    SCHEMA_PATTERN_COMPILED_BYTES, SCHEMA_PATTERN_LOOKS,
};
use crate::payload::value;

/// What a byte of a schema's text becomes, about.
const BYTES_PER_BYTE: usize = 40;
/// What a subschema becomes that is compiled again: measured 530 to 790 bytes, and more where paths are long.
const BYTES_PER_EXPANSION: usize = 2 * KIB;
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
    text_looks: TextLooks,
    bytes: usize,
    is_stand_in: bool,
}

impl Schema {
    /// Compiles a schema that is within bounds. Takes milliseconds, on a thread of its own: it goes as deep as references lead.
    pub fn compile(text: &str) -> Result<Self, SchemaError> {
        let compile = || Self::compile_here(text);
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(SCHEMA_COMPILE_STACK_BYTES);
            let spawned = builder.spawn_scoped(scope, compile);
            let thread = spawned.map_err(|error| SchemaError::not_now(&error))?;
            thread.join().unwrap_or_else(|_| Err(SchemaError("the compiler of schemas has failed on it".to_owned())))
        })
    }

    fn compile_here(text: &str) -> Result<Self, SchemaError> {
        let (schema, patterns) = bounds::read(text)?;
        let expansion = expansion(&schema)?;
        let validator = build(&schema, None, SCHEMA_PATTERN_COMPILED_BYTES)?;
        let Patterns { of_strings, of_names } = patterns;
        let (of_strings, of_names) = (programs(&of_strings), programs(&of_names));
        let text_looks = TextLooks {
            of_strings: of_strings.iter().map(|program| program.looks()).max().unwrap_or(0),
            of_names: of_names.iter().map(|program| program.looks()).sum(),
        };
        let programs: usize = of_strings.iter().chain(&of_names).map(|program| program.bytes()).sum();
        let bytes = text.len() * BYTES_PER_BYTE + expansion * BYTES_PER_EXPANSION + programs;
        Ok(Self { validator, text_looks, bytes, is_stand_in: false })
    }

    /// For one that an earlier version has stored and that is not compiled any more: it judges nothing.
    pub fn stand_in() -> Result<Self, SchemaError> {
        let validator = build(&Value::Bool(true), None, SCHEMA_PATTERN_COMPILED_BYTES)?;
        Ok(Self { validator, text_looks: TextLooks::default(), bytes: KIB, is_stand_in: true })
    }

    pub fn is_stand_in(&self) -> bool {
        self.is_stand_in
    }

    /// With schemas that others may be referred to by; for tests.
    #[cfg(test)]
    pub(super) fn compile_among(schema: &Value, registry: &Registry<'_>) -> Result<Self, SchemaError> {
        let validator = build(schema, Some(registry), SCHEMA_PATTERN_COMPILED_BYTES)?;
        Ok(Self { validator, text_looks: TextLooks::default(), bytes: 0, is_stand_in: false })
    }

    /// What it takes in memory, about, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a payload, which is known to be JSON, is as the schema wants it.
    pub fn judge(&self, payload: &str) -> Result<(), Violation> {
        self.judge_within(payload, &mut { u64::MAX })
    }

    /// The same, with as many looks as are left of those for a whole request, which it takes from.
    pub fn judge_within(&self, payload: &str, looks_left: &mut u64) -> Result<(), Violation> {
        let payload = value(payload, JSON_DEPTH_MAX + 1).map_err(|error| Violation::of_all(error.to_string()))?;
        self.judge_value(&payload, looks_left)
    }

    /// The same of a value.
    pub(super) fn judge_value(&self, payload: &Value, looks_left: &mut u64) -> Result<(), Violation> {
        let looks_max = SCHEMA_LOOKS_MAX.min(*looks_left);
        let (judged, taken) = within(looks_max, self.text_looks, || {
            self.validator.validate(Looked(payload)).map_err(|error| Violation::of(&error))
        });
        *looks_left -= taken;
        let too_far = match *looks_left {
            0 => "judging the events of this request goes too far: send fewer at once, or make the schema simpler",
            _ => {
                "judging it goes too far: the schema multiplies what it looks at, leads too deep, or has expressions for long \
                 texts; make it simpler"
            }
        };
        judged.unwrap_or_else(|| Err(Violation::of_all(too_far.to_owned())))
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

/// How large an expression's program is: most are small.
#[derive(Clone, Copy)]
enum Program {
    Usual,
    Large,
}

impl Program {
    fn bytes(self) -> usize {
        let program = match self {
            Self::Usual => PATTERN_USUAL_BYTES,
            Self::Large => SCHEMA_PATTERN_COMPILED_BYTES,
        };
        program + PATTERN_TABLE_BYTES
    }

    /// How many looks it is to go through 1 KiB of text.
    fn looks(self) -> u64 {
        match self {
            Self::Usual => SCHEMA_PATTERN_LOOKS,
            Self::Large => SCHEMA_LARGE_PATTERN_LOOKS,
        }
    }
}

fn programs(patterns: &[String]) -> Vec<Program> {
    let is_usual =
        |pattern: &String| build(&serde_json::json!({ "pattern": pattern }), None, PATTERN_USUAL_BYTES).is_ok();
    patterns.iter().map(|pattern| if is_usual(pattern) { Program::Usual } else { Program::Large }).collect()
}

/// Why a schema was not compiled, and what to do.
fn refusal(error: &ValidationError<'_>) -> String {
    let (at, what) = (error.instance_path().as_str(), error.masked_with("it").to_string());
    match error.kind() {
        ValidationErrorKind::Referencing(error) => SchemaError::refers_outside(error).0,
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
    /// Of the payload as a whole.
    fn of_all(what: String) -> Self {
        Self { field: String::new(), rule: String::new(), what }
    }

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
