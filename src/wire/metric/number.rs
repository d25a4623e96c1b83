//! A JSON number as the double that is stored: the one nearest to it, as JSON's readers everywhere take it.

/// Magnitudes that are stored besides zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Magnitude {
    pub min: f64,
    pub max: f64,
}

/// The double that a JSON number (its grammar already checked) stands for; None when its magnitude is out of range,
/// also because it is nearer to zero than any double, or farther.
pub(super) fn double(text: &str, range: Magnitude) -> Option<f64> {
    let value: f64 = text.parse().expect("the scanner has checked its grammar");
    let zero = value == 0.0 && mantissa(text).all(|digit| digit == b'0');
    // Adding zero makes zero of minus zero.
    (zero || (range.min..=range.max).contains(&value.abs())).then_some(value + 0.0)
}

fn mantissa(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).filter(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANGE: Magnitude = Magnitude { min: 1e-100, max: 1e140 };

    #[test]
    fn numbers_are_read_as_everywhere() {
        for (text, value) in [
            ("0", 0.0),
            ("0.0", 0.0),
            ("1", 1.0),
            ("-1", -1.0),
            ("0.1000", 0.1),
            ("1e140", 1e140),
            ("-1e140", -1e140),
            ("1e-100", 1e-100),
            ("1.50e+002", 150.0),
            ("1.5E2", 150.0),
            ("0.30000000000000004", 0.1 + 0.2),
            ("9007199254740993", 9_007_199_254_740_992.0),
            ("9223372036854775807", 9_223_372_036_854_775_808.0),
            ("0.1234567890123456789", 0.123_456_789_012_345_68),
        ] {
            assert_eq!(double(text, RANGE), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_too_far_from_zero_or_too_near_is_refused() {
        for text in [
            "1.0000001e140",
            "-1e141",
            "1e400",
            "-1e400",
            "123456789012345678901e130",
            "9.9e-101",
            "-1e-101",
            "5e-324",
            "1e-400",
            "-0.0001e-397",
        ] {
            assert_eq!(double(text, RANGE), None, "{text}");
        }
        assert_eq!(double("1e280", Magnitude { min: 0.0, max: 1e280 }), Some(1e280));
    }

    #[test]
    fn zero_has_no_sign() {
        for text in ["-0", "-0.0", "-0e9", "0e-400"] {
            assert_eq!(double(text, RANGE).map(f64::to_bits), Some(0.0f64.to_bits()), "{text}");
        }
    }

    proptest! {
        /// Any double within the range, as its shortest text and with 17 digits, reads as itself.
        #[test]
        fn doubles_come_back(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!((RANGE.min..=RANGE.max).contains(&value.abs()));
            for text in [format!("{value}"), format!("{value:e}"), format!("{value:.16e}")] {
                prop_assert_eq!(double(&text, RANGE), Some(value), "{}", text);
            }
        }
    }
}
