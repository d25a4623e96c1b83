//! Why an item was refused: stage, stable code, message. The names are a contract with senders and dashboards; a code
//! is never renamed. Where the item's bytes go is left to the caller.

use std::fmt;
use std::ops::Range;

use uuid::Uuid;

use crate::limits::MESSAGE_CHARS_MAX;

/// How much of a sender's own value a message quotes, in characters.
const EXCERPT_CHARS: usize = 60;

/// The step at which an item was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The text is not JSON, or is JSON that PostgreSQL cannot store.
    Decode,
    /// The item's fields break the rules for its kind.
    Validate,
    /// The item could not be routed to a stream.
    Package,
    /// PostgreSQL refused the row.
    Write,
}

impl Stage {
    /// The stable name, as stored with a dead letter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Validate => "validate",
            Self::Package => "package",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reason for which an item was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The item breaks the JSON grammar.
    InvalidJson,
    /// The item is not UTF-8.
    InvalidUtf8,
    /// The item is JSON, but not an object.
    NotAnObject,
    /// An object holds the same key twice; jsonb would keep only the last.
    DuplicateKey,
    /// Nested deeper than `JSON_DEPTH_MAX`.
    TooDeep,
    /// A number, or all numbers of the item together, expand too far once stored.
    NumberTooLarge,
    /// `\u0000` in the payload.
    PayloadNul,
    /// `\u0000` in metadata, context, dimensions, or an unknown field.
    MetadataNul,
    /// `\u0000` in a named text field.
    FieldNul,
    /// Half of a UTF-16 surrogate pair, written as an escape.
    LoneSurrogate,
    /// A required field is absent.
    MissingField,
    /// A field has the wrong type or a value outside its domain.
    InvalidField,
    /// A text field has too many characters.
    FieldTooLong,
    /// The timestamp cannot be read.
    InvalidTimestamp,
    /// The timestamp is older or newer than what is accepted.
    OutOfWindow,
    /// The item names another tenant than the key's.
    TenantMismatch,
    /// A metric's value is NaN or an infinity.
    MetricNotFinite,
    /// A metric's value is too large, or too near to zero, for sums of squares.
    MetricOutOfRange,
    /// The values of a metric's item make too many bytes of rows.
    ItemTooLarge,
    /// PostgreSQL refused the row; reported by the writer.
    RowRefused,
    /// Acknowledged and in the spool, but its idempotency key went to another request meanwhile; reported by the drain.
    IdempotencyKeyReused,
}

impl Code {
    /// The stable name, as answered to senders and stored with a dead letter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NotAnObject => "not_an_object",
            Self::DuplicateKey => "duplicate_key",
            Self::TooDeep => "too_deep",
            Self::NumberTooLarge => "number_too_large",
            Self::PayloadNul => "payload_nul",
            Self::MetadataNul => "metadata_nul",
            Self::FieldNul => "field_nul",
            Self::LoneSurrogate => "lone_surrogate",
            Self::MissingField => "missing_field",
            Self::InvalidField => "invalid_field",
            Self::FieldTooLong => "field_too_long",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::OutOfWindow => "out_of_window",
            Self::TenantMismatch => "tenant_mismatch",
            Self::MetricNotFinite => "metric_not_finite",
            Self::MetricOutOfRange => "metric_out_of_range",
            Self::ItemTooLarge => "item_too_large",
            Self::RowRefused => "row_refused",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: where, why, and what the sender can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The step that refused.
    pub stage: Stage,
    pub code: Code,
    /// At most `MESSAGE_CHARS_MAX` characters, free of control characters.
    pub message: String,
}

impl Rejection {
    /// A rejection whose message is cut to the limit and made storable as PostgreSQL text.
    pub fn new(stage: Stage, code: Code, message: impl AsRef<str>) -> Self {
        Self { stage, code, message: clean(message.as_ref(), MESSAGE_CHARS_MAX) }
    }

    pub(crate) fn validate(code: Code, message: impl AsRef<str>) -> Self {
        Self::new(Stage::Validate, code, message)
    }
}

/// A rejected item, with what is needed to keep it and to name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedItem {
    /// 0-based ordinal of the item in the body.
    pub index: u32,
    /// The item's bytes in the body.
    pub raw: Range<u32>,
    /// The event's id, where it has one and it could be read.
    pub event_id: Option<Uuid>,
    pub rejection: Rejection,
}

/// Why a body as a whole yields nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// Not one item: empty, white space, or `[]`.
    Empty,
    /// Not one item is JSON; the body is to be kept as one dead letter.
    NotJson {
        /// The rejection of the first item.
        rejection: Rejection,
    },
    /// More items, or rows that its items make, than a request may hold.
    TooManyItems {
        /// How many it may hold.
        max: usize,
    },
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the body holds no item"),
            Self::NotJson { rejection } => write!(f, "the body is not JSON: {}", rejection.message),
            Self::TooManyItems { max } => {
                write!(f, "the body holds more than {max} items or values; split it into several requests")
            }
        }
    }
}

impl std::error::Error for BodyError {}

/// A sender's value for use in a message: short, on one line, storable.
pub(crate) fn excerpt(value: &str) -> String {
    clean(value, EXCERPT_CHARS)
}

fn clean(text: &str, chars_max: usize) -> String {
    let storable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut out: String = text.chars().take(chars_max).map(storable).collect();
    if out.len() < text.len() && text.chars().nth(chars_max).is_some() {
        out.pop();
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_and_never_hold_control_characters() {
        let long = "ä\0\n".repeat(400);
        let rejection = Rejection::new(Stage::Write, Code::RowRefused, &long);
        assert_eq!(rejection.message.chars().count(), MESSAGE_CHARS_MAX);
        assert!(!rejection.message.contains(char::is_control));
        assert!(rejection.message.ends_with('…'));
    }

    #[test]
    fn a_message_at_the_limit_is_kept_whole() {
        let text = "x".repeat(MESSAGE_CHARS_MAX);
        assert_eq!(Rejection::new(Stage::Package, Code::InvalidField, &text).message, text);
    }
}
