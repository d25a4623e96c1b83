//! Messages of RFC 3164, which is a report of what was seen and no rule: times without year and zone, or with them, or
//! as RFC 3339; hosts and tags that are there or not.

use jiff::civil::{Date, DateTime, Time as Clock};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use super::parts::{Context, Message, Time};
use crate::limits::FUTURE_DAYS_MAX;
use crate::timestamp::parse_rfc3339;

const DAY_US: i64 = 86_400_000_000;

/// Longest host and tag; what is longer is text.
const NAME_BYTES_MAX: usize = 255;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Reads what follows the priority.
pub fn read<'a>(text: &'a str, context: Context<'_>, message: &mut Message<'a>) {
    let (sequence, start) = sequence(text);
    let first = start.split(' ').next().unwrap_or_default();
    let rest = if parse_rfc3339(first).is_some() {
        (message.time, message.sequence) = (Time::Text(first), sequence);
        &start[first.len()..]
    } else if let Some((moment, rest)) = Moment::read(start) {
        (message.time, message.sequence) = (moment.time(context), sequence);
        let written = &start[..start.len() - rest.len()];
        let understood = moment.understood && message.time != Time::None;
        message.time_text = if understood { "" } else { written.trim_end_matches([' ', ':']) };
        rest
    } else {
        // RFC 3164, 4.3.2: all of it is the text, but for a tag.
        message.note = Some("no_time");
        return tagged(text.strip_prefix(' ').unwrap_or(text), message);
    };
    let rest = rest.trim_start_matches(' ');
    let rest = match rest.split_once(' ') {
        Some((host, behind)) if is_host(host) && !behind.trim_start().is_empty() => {
            message.host = host;
            behind
        }
        _ => rest,
    };
    tagged(rest, message);
}

/// A number that Cisco's devices put before the time.
fn sequence(text: &str) -> (&str, &str) {
    match text.split_once(": ") {
        Some((digits, rest))
            if (1..=10).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            (digits, rest)
        }
        _ => ("", text),
    }
}

fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain) && !text.ends_with(':')
}

/// Reads `tag:`, `tag[pid]:` and the text behind them. A first word that neither ends is no tag.
fn tagged<'a>(text: &'a str, message: &mut Message<'a>) {
    message.text = text;
    let Some(end) = text.find(['[', ':', ' ']).filter(|end| (1..=NAME_BYTES_MAX).contains(end)) else { return };
    let (tag, rest) = text.split_at(end);
    // The first name of JSON, a quoted value, or a number of Cisco's devices.
    if tag.contains(['{', '}', '"']) || tag.bytes().all(|byte| byte.is_ascii_digit()) {
        return;
    }
    let (procid, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((procid, rest)) if procid.len() <= NAME_BYTES_MAX && !procid.contains(' ') => (procid, rest),
        _ => ("", rest),
    };
    let text = match (rest.strip_prefix(':'), procid) {
        (Some(text), _) => text,
        (None, "") => return,
        (None, _) if rest.is_empty() || rest.starts_with(' ') => rest,
        (None, _) => return,
    };
    // An address or a path such as `C:\x` and `http://` is no tag.
    if procid.is_empty() && !text.is_empty() && !text.starts_with(' ') {
        return;
    }
    (message.app, message.procid) = (tag, procid);
    message.text = text.strip_prefix(' ').unwrap_or(text);
}

/// A time as it is written.
struct Moment {
    year: Option<i16>,
    month: i8,
    day: i8,
    clock: Clock,
    utc: bool,
    /// Whether nothing of it is unknown, as the names of zones are.
    understood: bool,
}

impl Moment {
    /// `Nov 29 10:00:00`, with a fraction, with a year before or behind, with a zone's name; a mark before it says that
    /// the clock is not synchronised.
    fn read(text: &str) -> Option<(Self, &str)> {
        let marked = text.strip_prefix(['*', '.']);
        let text = marked.unwrap_or(text);
        let month =
            MONTHS.iter().position(|month| text.get(..3).is_some_and(|name| name.eq_ignore_ascii_case(month)))?;
        let rest = text.get(3..)?.strip_prefix(' ')?.trim_start_matches(' ');
        let (day, rest) = number(rest, 2)?;
        let rest = rest.strip_prefix(' ')?.trim_start_matches(' ');
        let (mut year, rest) = match year(rest) {
            Some((year, rest)) => (Some(year), rest.strip_prefix(' ')?),
            None => (None, rest),
        };
        let (clock, mut rest) = clock(rest)?;
        let mut utc = false;
        let mut understood = marked.is_none();
        if let Some((zone, behind)) = zone(rest) {
            utc = matches!(zone, "UTC" | "GMT");
            understood &= utc;
            rest = behind;
        }
        if year.is_none()
            && let Some((found, behind)) = rest.strip_prefix(' ').and_then(self::year)
            && behind.starts_with(' ')
        {
            (year, rest) = (Some(found), behind);
        }
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        if !rest.is_empty() && !rest.starts_with(' ') {
            return None;
        }
        let month = i8::try_from(month + 1).ok()?;
        Some((Self { year, month, day: i8::try_from(day).ok()?, clock, utc, understood }, rest))
    }

    /// If it has no year, the latest in which it is not further ahead than any event may be.
    fn time(&self, context: Context<'_>) -> Time<'static> {
        let now = Timestamp::from_microsecond(context.received_at_us).unwrap_or(Timestamp::UNIX_EPOCH);
        let this = now.to_zoned(TimeZone::UTC).year();
        let zone = if self.utc { &TimeZone::UTC } else { context.zone };
        let in_year = |year: i16| {
            let date = Date::new(year, self.month, self.day).ok()?;
            let local: DateTime = civil::DateTime::from_parts(date, self.clock);
            zone.to_ambiguous_timestamp(local).compatible().ok().map(Timestamp::as_microsecond)
        };
        let us = match self.year {
            Some(year) => in_year(year),
            None => {
                let newest_us = context.received_at_us.saturating_add(FUTURE_DAYS_MAX * DAY_US);
                [this + 1, this, this - 1].into_iter().filter_map(in_year).find(|us| *us <= newest_us)
            }
        };
        us.map_or(Time::None, Time::Us)
    }
}

/// A number of so many digits at most, and what follows it.
fn number(text: &str, digits_max: usize) -> Option<(i32, &str)> {
    let digits = text.bytes().take(digits_max + 1).take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > digits_max {
        return None;
    }
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

fn year(text: &str) -> Option<(i16, &str)> {
    let (year, rest) = number(text, 4)?;
    let year = i16::try_from(year).ok().filter(|year| (1970..=2999).contains(year))?;
    (rest.len() + 4 == text.len()).then_some((year, rest))
}

fn clock(text: &str) -> Option<(Clock, &str)> {
    let (hour, rest) = number(text, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (nanosecond, rest) = match rest.strip_prefix(['.', ',']) {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, rest) = fraction.split_at(digits);
            let padded = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
            (padded.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0')), rest)
        }
        _ => (0, rest),
    };
    let part = |number: i32| i8::try_from(number).ok();
    // A leap second is the last one of its minute.
    let clock = Clock::new(part(hour)?, part(minute)?, part(second.min(59))?, nanosecond).ok()?;
    (second <= 60).then_some((clock, rest))
}

/// The name of a zone, before a colon or a year.
fn zone(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix(' ')?;
    let length = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let (zone, rest) = text.split_at(length);
    let ends =
        rest.starts_with(": ") || rest.strip_prefix(' ').and_then(year).is_some_and(|(_, rest)| rest.starts_with(' '));
    ((2..=5).contains(&length) && ends).then_some((zone, rest))
}
