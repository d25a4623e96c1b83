//! Values of the command line that several commands take.

use jiff::Timestamp;

use crate::timestamp::parse_rfc3339;

/// A time, as items have it.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let time = parse_rfc3339(text).and_then(|us| Timestamp::from_microsecond(us).ok());
    time.ok_or_else(|| "must be RFC 3339 with `T`, seconds and an offset, such as 2026-01-31T12:00:00Z".to_owned())
}

/// A value, or the word `none`.
#[derive(Debug, Clone, Copy)]
pub struct OrNone<T>(pub Option<T>);

pub fn or_none<T>(parse: fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<OrNone<T>, String> + Clone {
    move |text| {
        if text == "none" {
            return Ok(OrNone(None));
        }
        parse(text).map(|value| OrNone(Some(value))).map_err(|error| format!("{error}; or `none`"))
    }
}
