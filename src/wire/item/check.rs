//! Rules that hold for the fields of any kind of item.

use std::fmt::Display;

use super::envelope::Envelope;
use super::origin::{ItemContext, TimeBounds};
use super::reject::{Code, Rejection, at_byte, excerpt};
use super::scan::{Field, JsonType, Member};
use crate::timestamp::{format_rfc3339, parse_epoch, parse_rfc3339};

/// What lies so far before its request is a mistake of the sender's and no history: 1970 is an unset clock.
const AGE_MAX_US: i64 = 50 * 365 * 86_400_000_000;

/// An item may name its tenant, as long as it is the key's.
pub(crate) fn check_tenant<F: Field>(envelope: &Envelope<'_, F>, field: F, tenant_id: &str) -> Result<(), Rejection> {
    let Some(member) = envelope.member(field) else { return Ok(()) };
    match string(envelope, field, member)? {
        named if named == tenant_id => Ok(()),
        named => Err(Rejection::validate(
            Code::TenantMismatch,
            format!(
                "tenant_id is \"{}\", but the key belongs to another tenant; leave tenant_id out or use its key",
                excerpt(named)
            ),
        )),
    }
}

/// Text that an item may have; empty text is none.
pub(crate) fn optional<'a, F: Field>(
    envelope: &Envelope<'a, F>,
    field: F,
    chars_max: usize,
) -> Result<Option<&'a str>, Rejection> {
    let Some(member) = envelope.member(field) else { return Ok(None) };
    let text = string(envelope, field, member)?;
    check_length(field, text, chars_max)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The item's time, by default that of its request, in unix microseconds. `retention` names what bounds it and for
/// whom.
pub(crate) fn timestamp<F: Field>(
    envelope: &Envelope<'_, F>,
    field: F,
    origin: &ItemContext<'_>,
    retention: &'static str,
) -> Result<i64, Rejection> {
    let Some(member) = envelope.member(field) else { return Ok(origin.received_at_us) };
    let raw = envelope.raw(member.value);
    let text = envelope.text(field).unwrap_or(raw);
    let parsed = match member.kind {
        JsonType::String => parse_rfc3339(text),
        JsonType::Number => Some(parse_epoch(raw)),
        _ => return Err(wrong_type(field, member, "an RFC 3339 string or an epoch number")),
    };
    let Some(at_us) = parsed else {
        return Err(Rejection::validate(
            Code::InvalidTimestamp,
            format!(
                "timestamp \"{}\" {} cannot be read; send RFC 3339 with `T`, seconds and an offset, such as \
                 2025-01-31T12:00:00Z, or an epoch number",
                excerpt(text),
                at_byte(member.value.start)
            ),
        ));
    };
    let TimeBounds { oldest_us, newest_us } = origin.bounds;
    if (oldest_us..=newest_us).contains(&at_us) {
        return Ok(at_us);
    }
    let (oldest, newest) = (format_rfc3339(oldest_us), format_rfc3339(newest_us));
    let is_history = at_us < oldest_us && at_us > origin.received_at_us.saturating_sub(AGE_MAX_US);
    let advice =
        if is_history { retention } else { "mend the timestamp: check the sender's clock and a number's unit" };
    let place = at_byte(member.value.start);
    let message = format!("timestamp {} {place} is outside {oldest} to {newest}; {advice}", excerpt(text));
    Err(Rejection::validate(Code::OutOfWindow, message))
}

/// Text of a member that must be a string.
pub(crate) fn string<'a, F: Field>(
    envelope: &Envelope<'a, F>,
    field: F,
    member: &Member<F>,
) -> Result<&'a str, Rejection> {
    envelope.text(field).ok_or_else(|| wrong_type(field, member, "a string"))
}

pub(crate) fn check_length<F: Field>(field: F, text: &str, chars_max: usize) -> Result<(), Rejection> {
    // No text has more characters than bytes.
    if text.len() <= chars_max {
        return Ok(());
    }
    match text.chars().count() {
        count if count <= chars_max => Ok(()),
        count => Err(Rejection::validate(
            Code::FieldTooLong,
            format!("{} has {count} characters; the limit is {chars_max}; shorten it", field.name()),
        )),
    }
}

pub(crate) fn wrong_type<F: Field>(field: F, member: &Member<F>, expected: impl Display) -> Rejection {
    let (place, kind) = (at_byte(member.value.start), member.kind.name());
    let message = format!("{} {place} is {kind}; send {expected}", field.name());
    Rejection::validate(Code::InvalidField, message)
}

pub(crate) fn missing(name: &str, advice: &str) -> Rejection {
    Rejection::validate(Code::MissingField, format!("{name} is missing; {advice}"))
}

/// Text that is sent, and may not be empty.
pub(crate) fn empty_member<F>(name: &str, member: &Member<F>) -> Rejection {
    let place = at_byte(member.value.start);
    Rejection::validate(Code::InvalidField, format!("{name} {place} is empty; send at least one character"))
}

pub(crate) fn empty(name: &str) -> Rejection {
    Rejection::validate(Code::InvalidField, format!("{name} is empty; send at least one character"))
}
