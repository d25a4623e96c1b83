//! What is longer than its column: a CloudEvent's attributes have no limits, columns do. The column gets the text's
//! beginning and a hash of all of it, so that two long texts stay two; metadata keeps the whole.

use std::borrow::Cow;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::fields::Field;

/// Bytes of the hash, two characters each.
const HASH_BYTES: usize = 8;
/// Characters that end a shortened text: `~`, and the hash in hex.
const TAIL_CHARS: usize = 1 + 2 * HASH_BYTES;

/// A text as this column of events has it, so that a question for the whole finds the shortened.
pub fn fitted<'a>(column: &str, text: &'a str) -> Cow<'a, str> {
    let chars_max = Field::named(column).map_or(usize::MAX, Field::chars_max);
    if text.len() <= chars_max || text.chars().count() <= chars_max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(shortened(text, chars_max))
}

/// `text`, of more than `chars_max` characters, in that many.
pub fn shortened(text: &str, chars_max: usize) -> String {
    let mut short: String = text.chars().take(chars_max.saturating_sub(TAIL_CHARS)).collect();
    short.push('~');
    for byte in Sha256::digest(text).iter().take(HASH_BYTES) {
        write!(short, "{byte:02x}").expect("a String takes all text");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_keeps_its_beginning_and_a_hash() {
        let fits = "ä".repeat(50);
        assert_eq!(fitted("source_module", &fits), fits);
        let long = "//pubsub.googleapis.com/projects/a-project/topics/a-topic";
        let short = fitted("source_module", long);
        assert_eq!(short, "//pubsub.googleapis.com/projects/~aad2225b02f23eb0");
        assert_eq!(short.chars().count(), 50);
        assert_ne!(fitted("source_module", &format!("{long}2")), short);
        assert_eq!(fitted("source_module", &short), short);
        for column in ["event_type", "severity", "environment", "stream", "asset_id", "trace_id"] {
            let (a, b) = ("☃".repeat(300), "☃".repeat(301));
            let max = Field::named(column).expect("a field").chars_max();
            assert_eq!(fitted(column, &a).chars().count(), max, "{column}");
            assert_ne!(fitted(column, &a), fitted(column, &b), "{column}");
        }
        assert_eq!(fitted("payload", long), long);
    }
}
