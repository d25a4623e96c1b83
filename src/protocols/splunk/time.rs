//! HEC's times: epoch seconds as a decimal number, read digit by digit.

/// An epoch number below 10 to this power is in seconds, in milliseconds, in microseconds, or larger in nanoseconds, as
/// everywhere in Tidegate; and what one of them is in nanoseconds, as a power of 10.
const UNITS: [(i64, i64); 4] = [(11, 9), (14, 6), (17, 3), (i64::MAX, 0)];
/// Digits that are read; what is finer is cut off.
const DIGITS_MAX: usize = 36;

/// Nanoseconds since 1970 of a number such as `1433188255.500`; None: it is none, or no `i64`.
pub fn nanoseconds(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let are_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !are_digits(integer) || !are_digits(fraction) {
        return None;
    }
    let exponent: i64 = exponent.parse().ok()?;
    let mut digits = integer.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    let zeros = integer.bytes().chain(fraction.bytes()).take_while(|digit| *digit == b'0').count();
    let significant = integer.len() + fraction.len() - zeros;
    if significant == 0 {
        return Some(0);
    }
    let read = significant.min(DIGITS_MAX);
    let number = digits.by_ref().take(read).fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
    let length = |count: usize| i64::try_from(count).ok();
    let before_point = length(integer.len())?.checked_sub(length(zeros)?)?.checked_add(exponent)?;
    let (_, unit) = UNITS.into_iter().find(|(digits, _)| before_point <= *digits)?;
    let shift = before_point.saturating_sub(length(read)?).saturating_add(unit);
    let power = |shift: u64| u32::try_from(shift).ok().and_then(|shift| 10_u128.checked_pow(shift));
    let ns = match (shift < 0, power(shift.unsigned_abs())) {
        (false, Some(power)) => number.checked_mul(power)?,
        (false, None) => return None,
        (true, power) => power.map_or(0, |power| number / power),
    };
    i64::try_from(ns).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        for (text, expected) in [
            ("1433188255", Some(1_433_188_255_000_000_000)),
            ("1433188255.500", Some(1_433_188_255_500_000_000)),
            (" 1433188255.123456789 ", Some(1_433_188_255_123_456_789)),
            ("1433188255.1234567899", Some(1_433_188_255_123_456_789)),
            ("1433188255.000000001", Some(1_433_188_255_000_000_001)),
            ("1.433188255123456789e9", Some(1_433_188_255_123_456_789)),
            ("1433188255500E-3", Some(1_433_188_255_500_000_000)),
            ("1433188255123", Some(1_433_188_255_123_000_000)),
            ("1433188255123.25", Some(1_433_188_255_123_250_000)),
            ("1433188255123456", Some(1_433_188_255_123_456_000)),
            ("1433188255123456789", Some(1_433_188_255_123_456_789)),
            ("0", Some(0)),
            ("0.000", Some(0)),
            ("0.5", Some(500_000_000)),
            ("000000000000001433188255", Some(1_433_188_255_000_000_000)),
            ("1e-400", Some(0)),
            ("0e999", Some(0)),
            ("0.0000000000000000000000000000000000000000000000000000000000000000000000001", Some(0)),
            ("1433188255.99999999999999999999999999999999999999999999999999999", Some(1_433_188_255_999_999_999)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("1e400", None),
            ("1e9223372036854775807", None),
            ("1e-9223372036854775808", Some(0)),
            ("-1", None),
            ("", None),
            (".5", None),
            ("5.", None),
            ("1.5.5", None),
            ("+1", None),
            ("0x10", None),
            ("now", None),
            ("1e", None),
            ("2015-06-01", None),
        ] {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
    }
}
