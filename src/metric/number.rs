//! A JSON number as the double that is stored. What a double cannot hold as it is written is refused, not rounded: whoever
//! reads it back must see what was sent.

use std::io::Write;

/// Digits that every double of ordinary size holds, whatever they are.
const DIGITS_SAFE: usize = f64::DIGITS as usize;
/// Digits that tell every double from its neighbours; with more, a number says something that no double can.
const DIGITS_MAX: usize = 17;

/// Why a number is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Its magnitude is over the bound.
    OutOfRange,
    /// No double reads as it is written.
    Inexact,
}

/// The double that a JSON number (its grammar already checked) stands for, of a magnitude up to `max`.
pub(super) fn double(text: &str, max: f64) -> Result<f64, Unfit> {
    let value: f64 = text.parse().expect("the scanner has checked its grammar");
    if value.abs() > max {
        return Err(Unfit::OutOfRange);
    }
    let digits = significant(text);
    let held = match digits {
        0 => true,
        // Of the smallest doubles fewer digits hold; what reads as zero is not zero.
        1..=DIGITS_SAFE if value.abs() >= f64::MIN_POSITIVE => true,
        1..=DIGITS_MAX => prints_as(value, text, digits),
        _ => false,
    };
    // Adding zero makes zero of minus zero.
    if held { Ok(value + 0.0) } else { Err(Unfit::Inexact) }
}

fn mantissa(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).filter(u8::is_ascii_digit)
}

/// How many digits are left without the zeros at both ends.
fn significant(text: &str) -> usize {
    let (mut digits, mut zeros) = (0, 0);
    for digit in mantissa(text) {
        if digit != b'0' {
            digits += zeros + 1;
            zeros = 0;
        } else if digits > 0 {
            zeros += 1;
        }
    }
    digits
}

/// Whether the double reads as what was written: rounded to as many digits, or as the shortest text that stands for it
/// alone (the two differ where the double lies halfway between two texts of 17 digits). The nearest double to a text has its
/// magnitude, so that digits are all there is to compare: a carry into another power of ten would change them too.
fn prints_as(value: f64, text: &str, digits: usize) -> bool {
    reads(format_args!("{value:.*e}", digits - 1), text, digits) || reads(format_args!("{value:e}"), text, digits)
}

fn reads(printed: std::fmt::Arguments<'_>, text: &str, digits: usize) -> bool {
    let mut buffer = [0u8; 32];
    let mut rest = &mut buffer[..];
    if rest.write_fmt(printed).is_err() {
        return false;
    }
    let left = rest.len();
    let printed = buffer[..buffer.len() - left].iter().copied();
    let printed = printed.take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit);
    printed.eq(mantissa(text).skip_while(|digit| *digit == b'0').take(digits))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<f64, Unfit> {
        double(text, 1e140)
    }

    #[test]
    fn what_a_double_holds_is_taken_as_it_is() {
        for text in [
            "0",
            "0.0",
            "1",
            "-1",
            "0.1",
            "0.1000",
            "1e140",
            "-1e140",
            "100000000000000000000000000000000000000000000000000",
            "0.000000000000000000000000000000123",
            "123456789012345",
            "12345678901234500000",
            "9007199254740992",
            "0.30000000000000004",
            // Halfway: with 17 digits it prints as ...127.12.
            "143560611358127.13",
            "143560611358127.12",
            "2.2250738585072014e-308",
            "5e-324",
            "1.5E2",
            "1.50e+002",
        ] {
            assert_eq!(read(text), Ok(text.parse().expect("a number")), "{text}");
        }
    }

    #[test]
    fn what_a_double_cannot_hold_is_refused() {
        for text in [
            "9007199254740993",
            "900719925474099.31",
            "0.10000000000000001234",
            "123456789012345678",
            "1e-400",
            "-1e-324",
            "1.2345678901234e-320",
        ] {
            assert_eq!(read(text), Err(Unfit::Inexact), "{text}");
        }
        for text in ["1.0000001e140", "-1e141", "1e400", "-1e400", "123456789012345678901e130"] {
            assert_eq!(read(text), Err(Unfit::OutOfRange), "{text}");
        }
        assert_eq!(double("1e280", 1e280), Ok(1e280));
    }

    #[test]
    fn zero_has_no_sign() {
        for text in ["-0", "-0.0", "-0e9"] {
            assert_eq!(read(text).map(f64::to_bits), Ok(0.0f64.to_bits()), "{text}");
        }
    }

    proptest! {
        /// Any double, as its shortest text and with 17 digits, reads as itself.
        #[test]
        fn doubles_come_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite() && value.abs() <= 1e140 && value != 0.0);
            for text in [format!("{value}"), format!("{value:e}"), format!("{value:.16e}")] {
                prop_assert_eq!(read(&text), Ok(value), "{}", text);
            }
        }

        /// What is taken prints as it was written, with as many digits or the fewest; nothing of up to 15 digits is refused.
        #[test]
        fn nothing_is_rounded(digits in 1u64..10_000_000_000_000_000_000, exponent in -150i32..100) {
            let text = format!("{digits}e{exponent}");
            let trimmed = digits.to_string().trim_end_matches('0').to_owned();
            match read(&text) {
                Ok(value) => {
                    let printed = [format!("{value:.*e}", trimmed.len() - 1), format!("{value:e}")];
                    let digits = printed.map(|text| text.split('e').next().expect("a mantissa").replace('.', ""));
                    prop_assert!(digits.contains(&trimmed), "{digits:?} {trimmed}");
                }
                Err(_) => prop_assert!(trimmed.len() > DIGITS_SAFE),
            }
        }
    }
}
