//! Times as senders write them, to unix microseconds: RFC 3339 text, and epoch numbers whose unit is told by their size.
//! Nothing passes through a float, and what is no time is refused, never made into the nearest one.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// An epoch number below 10 to this power (as a count of integer digits) is in seconds.
const SECONDS_DIGITS: i64 = 11;
/// Likewise for milliseconds.
const MILLIS_DIGITS: i64 = 14;
/// Likewise for microseconds; anything larger is in nanoseconds.
const MICROS_DIGITS: i64 = 17;
/// Microseconds of more digits than this do not fit an `i64`.
const MICROS_DIGITS_MAX: i64 = 18;

const MINUTES_PER_DAY: i64 = 24 * 60;
const MINUTE_US: i64 = 60_000_000;

/// `YYYY-MM-DDTHH:MM:SS[.digits]` with `Z` or `±HH:MM`, to unix microseconds; what is finer is cut off. Beside RFC 3339
/// a space may stand for the `T`, a comma for the point, and the offset may be `±HHMM` or `±HH`: all have one reading.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let (head, rest) = text.as_bytes().split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, byte)| head[at] != byte) || !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let number = |from: usize, to: usize| digits(&head[from..to]);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (micros, zone) = fraction(rest)?;
    let minutes = days_from_civil(year, month, day) * MINUTES_PER_DAY + hour * 60 + minute - offset(zone)?;
    if second == 60 { leap_second(minutes) } else { Some(minutes * MINUTE_US + second * 1_000_000 + micros) }
}

/// Unix microseconds as RFC 3339 text in UTC with six decimals.
pub(crate) fn format_rfc3339(unix_us: i64) -> String {
    Timestamp::from_microsecond(unix_us).map_or_else(|_| unix_us.to_string(), |at| format!("{at:.6}"))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// The second 60 of a minute, which there is only in the last minute of a month of UTC. Unix time has no number for it:
/// it becomes the last microsecond of its minute, neither before the second it follows nor behind the next.
#[cold]
fn leap_second(minutes: i64) -> Option<i64> {
    let end = Timestamp::from_second((minutes + 1) * 60).ok()?;
    let ends_month = (minutes + 1) % MINUTES_PER_DAY == 0 && TimeZone::UTC.to_datetime(end).day() == 1;
    ends_month.then_some((minutes + 1) * MINUTE_US - 1)
}

/// Microseconds of a leading `.digits`, if there is one, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.' | b',', text @ ..] = text else { return Some((0, text)) };
    let length = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = text.split_at(length);
    let kept = digits(&number[..length.min(6)])?;
    let scale = [0, 100_000, 10_000, 1000, 100, 10, 1][length.min(6)];
    (length > 0).then_some((kept * scale, rest))
}

/// Minutes east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, h1, h2, minutes) = match zone {
        [b'Z' | b'z'] => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2] => (sign, h1, h2, 0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            (sign, h1, h2, digits(&[*m1, *m2])?)
        }
        _ => return None,
    };
    let hours = digits(&[*h1, *h2])?;
    let total = hours * 60 + minutes;
    (hours <= 23 && minutes <= 59).then_some(if *sign == b'-' { -total } else { total })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// A JSON number (its grammar already checked) as epoch, its unit taken from its magnitude, to unix microseconds,
/// rounded down. Values too large for any calendar saturate, and so fall out of every window.
pub(crate) fn parse_epoch(number: &str) -> i64 {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let zeros = integer.bytes().chain(fraction.bytes()).take_while(|digit| *digit == b'0').count();
    if zeros == integer.len() + fraction.len() {
        return 0;
    }
    // An exponent that does not fit went through the scanner, so the number is a tiny one.
    let exponent: i64 = exponent.parse().unwrap_or(i64::MIN / 4);
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
    let integer_digits = (signed(integer.len()) - signed(zeros)).saturating_add(exponent);
    let shift = if integer_digits <= SECONDS_DIGITS {
        6
    } else if integer_digits <= MILLIS_DIGITS {
        3
    } else if integer_digits <= MICROS_DIGITS {
        0
    } else {
        -3
    };
    let micros_digits = integer_digits.saturating_add(shift);
    if micros_digits > MICROS_DIGITS_MAX {
        return if negative { i64::MIN } else { i64::MAX };
    }
    let kept = usize::try_from(micros_digits).unwrap_or(0);
    let significant = || integer.bytes().chain(fraction.bytes()).skip(zeros);
    let padded = significant().chain(std::iter::repeat(b'0')).take(kept);
    let micros = padded.fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let inexact = significant().skip(kept).any(|digit| digit != b'0');
    if negative { -micros - i64::from(inexact) } else { micros }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_what_the_calendar_of_jiff_says() {
        let day = 86_400_000_000;
        for step in -400..400i64 {
            let at = step * 31 * day + step * 3_723_000_001;
            let text = format_rfc3339(at);
            assert_eq!(parse_rfc3339(&text), Some(at), "{text}");
        }
    }

    #[test]
    fn forms_of_rfc_3339() {
        let at = 1_735_689_600_000_000; // 2025-01-01T00:00:00Z
        for (text, expected) in [
            ("2025-01-01T00:00:00Z", at),
            ("2025-01-01t00:00:00z", at),
            ("2025-01-01 00:00:00Z", at),
            ("2025-01-01T01:30:00+01:30", at),
            ("2025-01-01T01:30:00+0130", at),
            ("2024-12-31 19:00:00-05", at),
            ("2024-12-31T19:00:00-05:00", at),
            ("2025-01-01T23:59:00+23:59", at),
            ("2025-01-01T00:00:00-00:00", at),
            ("2025-01-01T00:00:00.1Z", at + 100_000),
            ("2025-01-01T00:00:00,25+00", at + 250_000),
            ("2025-01-01T00:00:00.123456789Z", at + 123_456),
            ("2025-01-01T00:00:00.9999999999999999Z", at + 999_999),
            ("2025-01-01T00:00:00.000000999999999999999999999999Z", at),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
            ("1969-12-31T23:59:59.9999999Z", -1),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000_000),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ] {
            assert_eq!(parse_rfc3339(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_rfc_3339_is_no_time() {
        for text in [
            "",
            "infinity",
            "-infinity",
            "now",
            "1735689600",
            "2025-01-01",
            "2025-01-01T00:00:00",
            "2025-01-01T00:00Z",
            "2025-01-01T00Z",
            "20250101T000000Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "2025-06-31T00:00:00Z",
            "2025-09-31T00:00:00Z",
            "2025-11-31T00:00:00Z",
            "2025-001T00:00:00Z",
            "2025-W01-3T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:60:00Z",
            "2025-01-01T00:00:61Z",
            "2025-01-01T00:00:00.Z",
            "2025-01-01T00:00:00.1.2Z",
            "2025-01-01T00:00:00. 1Z",
            "2025-01-01T00:00:00Zz",
            "2025-01-01T00:00:00 Z",
            "2025-01-01T00:00:00+1:00",
            "2025-01-01T00:00:00+24:00",
            "2025-01-01T00:00:00-25",
            "2025-01-01T00:00:00+00:60",
            "2025-01-01T00:00:00+00:00:00",
            "2025-01-01T00:00:00\u{2212}05:00",
            "2025-01-01T00:00:00Z[UTC]",
            "2025-01-01T01:00:00+01:00[Europe/Berlin]",
            "2025-01-01_00:00:00Z",
            "2025-01-01  00:00:00Z",
            "2025/01/01T00:00:00Z",
            " 2025-01-01T00:00:00Z",
            "2025-01-01T00:00:00Z ",
            "+002025-01-01T00:00:00Z",
            "+2025-01-01T00:00:00Z ",
            "-2025-01-01T00:00:00Z",
            "12025-01-01T00:00:00Z",
            "\u{662}025-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_leap_second_is_between_the_seconds_around_it() {
        for (leap, before, after) in [
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z", "2017-01-01T00:00:00Z"),
            ("2026-06-30T23:59:60.25Z", "2026-06-30T23:59:59.50Z", "2026-07-01T00:00:00Z"),
            ("2017-01-01T01:59:60.999999999+02:00", "2016-12-31T23:59:59.999999Z", "2017-01-01T00:00:00Z"),
            ("2016-12-31T18:59:60-05", "2016-12-31T23:59:59Z", "2017-01-01T00:00:00Z"),
        ] {
            let [leap, before, after] = [leap, before, after].map(|text| parse_rfc3339(text).expect(text));
            assert!(before <= leap && leap < after, "{leap}");
        }
        for text in [
            "2025-01-31T12:30:60Z",
            "2025-01-15T23:59:60Z",
            "2025-02-27T23:59:60Z",
            "2016-12-31T23:59:60+01:00",
            "2016-12-31T23:58:60Z",
            "2016-12-31T00:00:60Z",
            "9999-12-31T23:59:60Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn epoch_units_follow_the_magnitude() {
        for (number, expected) in [
            ("0", 0),
            ("-0.0e9", 0),
            ("1735689600", 1_735_689_600_000_000),
            ("1735689600.123456789", 1_735_689_600_123_456),
            ("1.7356896e9", 1_735_689_600_000_000),
            ("173568960000e-2", 1_735_689_600_000_000),
            ("99999999999", 99_999_999_999_000_000),
            ("100000000000", 100_000_000_000_000),
            ("99999999999999", 99_999_999_999_999_000),
            ("100000000000000", 100_000_000_000_000),
            ("99999999999999999", 99_999_999_999_999_999),
            ("100000000000000000", 100_000_000_000_000),
            ("1735689600123", 1_735_689_600_123_000),
            ("1735689600123.4567", 1_735_689_600_123_456),
            ("1735689600123456", 1_735_689_600_123_456),
            ("1735689600123456.9", 1_735_689_600_123_456),
            ("1735689600123456789", 1_735_689_600_123_456),
            ("-1", -1_000_000),
            ("-0.0000001", -1),
            ("0.0000001", 0),
            ("1e-999999999999999999999", 0),
            ("1e400", i64::MAX),
            ("-1e400", i64::MIN),
        ] {
            assert_eq!(parse_epoch(number), expected, "{number}");
        }
    }
}
