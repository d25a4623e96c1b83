//! Why an item was refused: stage, stable code, message. The names are a contract with senders and dashboards; a code
//! is never renamed. Where the item's bytes go is left to the caller.

use std::fmt;
use std::ops::Range;

use uuid::Uuid;

use crate::limits::MESSAGE_CHARS_MAX;
use crate::secrets::redacted;

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

/// Codes, each with its number and its name.
macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $number:literal, $name:literal;)*) => {
        /// The reason for which an item was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Code {
            $($(#[$doc])* $code = $number,)*
        }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// The stable name, as answered to senders and stored with a dead letter.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }
        }
    };
}

// Numbers are stored in the ledger and never given to another code.
codes! {
    /// The item breaks the JSON grammar.
    InvalidJson = 1, "invalid_json";
    InvalidUtf8 = 2, "invalid_utf8";
    /// The item is JSON, but not an object.
    NotAnObject = 3, "not_an_object";
    /// An object holds the same key twice; jsonb would keep only the last.
    DuplicateKey = 4, "duplicate_key";
    /// Nested deeper than `JSON_DEPTH_MAX`.
    TooDeep = 5, "too_deep";
    /// A number, or all numbers of the item together, expand too far once stored.
    NumberTooLarge = 6, "number_too_large";
    /// `\u0000` in the payload.
    PayloadNul = 7, "payload_nul";
    /// `\u0000` in metadata, context, dimensions, or an unknown field.
    MetadataNul = 8, "metadata_nul";
    /// `\u0000` in a named text field.
    FieldNul = 9, "field_nul";
    /// Half of a UTF-16 surrogate pair, written as an escape.
    LoneSurrogate = 10, "lone_surrogate";
    MissingField = 11, "missing_field";
    /// A field has the wrong type or a value outside its domain.
    InvalidField = 12, "invalid_field";
    /// A text field has too many characters.
    FieldTooLong = 13, "field_too_long";
    InvalidTimestamp = 14, "invalid_timestamp";
    /// The timestamp is older or newer than what is accepted.
    OutOfWindow = 15, "out_of_window";
    /// The item names another tenant than the key's.
    TenantMismatch = 16, "tenant_mismatch";
    /// A metric's value is NaN or an infinity.
    MetricNotFinite = 17, "metric_not_finite";
    /// A metric's value is too large, or too near to zero, for sums of squares.
    MetricOutOfRange = 18, "metric_out_of_range";
    /// The values of a metric's item make too many bytes of rows.
    ItemTooLarge = 19, "item_too_large";
    /// PostgreSQL refused the row; reported by the writer.
    RowRefused = 20, "row_refused";
    /// Acknowledged and in the spool, but its idempotency key went to another request meanwhile; reported by the
    /// drain.
    IdempotencyKeyReused = 21, "idempotency_key_reused";
    /// Another event with its id and timestamp is stored (rowstore profile); reported by the writer.
    IdConflict = 22, "id_conflict";
    /// A sample of a new series, past `limits.series_per_tenant`; reported by the writer.
    SeriesQuota = 23, "series_quota";
    /// An event of a new stream, past `limits.streams_per_tenant`; reported by the writer.
    StreamQuota = 24, "stream_quota";
    /// The payload breaks its stream's schema, which is enforced.
    SchemaViolation = 25, "schema_violation";
    /// The stream is not defined, and streams are not made by their first event.
    StreamUnknown = 26, "stream_unknown";
    /// The stream was deleted, and not defined again.
    StreamDeleted = 27, "stream_deleted";
    /// What was sent cannot be read in its protocol.
    Undecodable = 28, "undecodable";
}

impl Code {
    /// The code of a number in the ledger; None: a later version's.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| *code as u8 == number)
    }

    /// The code of a stable name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

/// A refusal: where, why, and what the sender can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub stage: Stage,
    pub code: Code,
    /// At most `MESSAGE_CHARS_MAX` characters, free of control characters.
    pub message: String,
    /// What of a payload breaks which rule of a schema.
    pub pointers: Option<Box<Pointers>>,
}

/// A place in a payload, and the rule of a schema that it breaks: JSON pointers, free of NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointers {
    pub field: String,
    pub rule: String,
    /// The version of the schema.
    pub version: i32,
}

impl Rejection {
    /// A rejection whose message is cut to the limit and made storable as PostgreSQL text.
    pub fn new(stage: Stage, code: Code, message: impl AsRef<str>) -> Self {
        Self { stage, code, message: clean(message.as_ref(), MESSAGE_CHARS_MAX), pointers: None }
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

/// Why a body yields nothing, not even a rejected item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Not one item: empty, white space, or `[]`.
    Empty,
    /// More items, or rows that its items make, than a request may hold.
    TooManyItems { max: usize },
    /// Hashes in the place of what is masked make it many times as large.
    MaskedTooLarge,
    /// What is made of it, and its rows, take more memory than its tenant can have.
    TooMuchMade { max: usize },
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the body holds no item"),
            Self::TooMuchMade { max } => write!(
                f,
                "the body, what is made of it and its rows are more than the {max} bytes that an organization's requests may take \
                 here (a part of limits.memory_bytes): send less at once"
            ),
            Self::MaskedTooLarge => f.write_str(
                "what is hashed of the body makes it up to four times as large, or more: send fewer events at once, or mask what holds the values",
            ),
            Self::TooManyItems { max } => {
                write!(f, "the body holds more than {max} items or values; split it into several requests")
            }
        }
    }
}

impl std::error::Error for BodyError {}

/// How a message names a place in an item.
pub(crate) fn at_byte(at: usize) -> String {
    format!("{BEFORE}{at}{BEHIND}")
}

const BEFORE: &str = "at byte ";
const BEHIND: &str = " of the item";

/// The place that a message names: its text there, and the byte of the item.
pub fn place_in(message: &str) -> Option<(Range<usize>, usize)> {
    message.match_indices(BEFORE).find_map(|(start, _)| {
        let rest = &message[start + BEFORE.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let end = start + BEFORE.len() + digits + BEHIND.len();
        rest[digits..].starts_with(BEHIND).then_some((start..end, rest[..digits].parse().ok()?))
    })
}

/// A sender's value for use in a message: short, on one line, storable.
pub(crate) fn excerpt(value: &str) -> String {
    clean(value, EXCERPT_CHARS)
}

fn clean(text: &str, chars_max: usize) -> String {
    let text = &*redacted(text);
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
    fn a_code_is_found_by_its_number_and_by_its_name() {
        for &code in Code::ALL {
            assert_eq!((Code::of_number(code as u8), Code::of_name(code.as_str())), (Some(code), Some(code)));
        }
        assert_eq!((Code::of_number(0), Code::of_name("")), (None, None));
    }

    #[test]
    fn messages_are_cut_and_never_hold_control_characters() {
        let long = "ä\0\n".repeat(400);
        let rejection = Rejection::new(Stage::Write, Code::RowRefused, &long);
        assert_eq!(rejection.message.chars().count(), MESSAGE_CHARS_MAX);
        assert!(!rejection.message.contains(char::is_control));
        assert!(rejection.message.ends_with('…'));
    }

    #[test]
    fn messages_and_excerpts_hold_no_api_key() {
        let key = format!("tg_{}_{}", "a".repeat(32), "b".repeat(72));
        assert_eq!(excerpt(&format!("of {key}")), "of tg_...");
        let rejection = Rejection::new(Stage::Write, Code::RowRefused, format!("{} {key} there", "x".repeat(300)));
        assert!(rejection.message.ends_with("x tg_... there"), "{}", rejection.message);
    }

    #[test]
    fn a_message_at_the_limit_is_kept_whole() {
        let text = "x".repeat(MESSAGE_CHARS_MAX);
        assert_eq!(Rejection::new(Stage::Package, Code::InvalidField, &text).message, text);
    }
}
