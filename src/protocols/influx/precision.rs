//! The units of timestamps.

const UNITS: [(&[&str], i64); 6] = [
    (&["ns", "n", "nanosecond"], 1),
    (&["us", "u", "µ", "microsecond"], 1_000),
    (&["ms", "millisecond"], 1_000_000),
    (&["s", "second"], 1_000_000_000),
    (&["m"], 60_000_000_000),
    (&["h"], 3_600_000_000_000),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// A unit of so many nanoseconds.
    Unit(i64),
    /// By the size of each.
    Auto,
}

impl Precision {
    pub const NANOSECONDS: Self = Self::Unit(1);

    /// A precision of this name, if it is one of those that a route takes.
    pub fn named(name: &str, taken: &[&str]) -> Option<Self> {
        if !taken.contains(&name) {
            return None;
        }
        let unit = UNITS.iter().find(|(names, _)| names.contains(&name));
        Some(unit.map_or(Self::Auto, |(_, ns)| Self::Unit(*ns)))
    }

    /// A timestamp in nanoseconds since 1970; None: it does not fit.
    pub fn nanoseconds(self, timestamp: i64) -> Option<i64> {
        let unit = match self {
            Self::Unit(unit) => unit,
            // As InfluxDB 3 guesses: seconds until the year 2128.
            Self::Auto => match timestamp.unsigned_abs() / 1_000_000_000 {
                0..5 => 1_000_000_000,
                5..5_000 => 1_000_000,
                5_000..5_000_000 => 1_000,
                _ => 1,
            },
        };
        timestamp.checked_mul(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_known_by_name_or_by_size() {
        let named = |name| Precision::named(name, &["n", "µ", "h", "auto"]);
        assert_eq!(named("n"), Some(Precision::NANOSECONDS));
        assert_eq!(named("µ"), Some(Precision::Unit(1_000)));
        assert_eq!(named("auto"), Some(Precision::Auto));
        assert_eq!((named("ms"), named(""), named("N")), (None, None, None));
        assert_eq!(Precision::Unit(3_600_000_000_000).nanoseconds(-2), Some(-7_200_000_000_000));
        assert_eq!(Precision::Unit(1_000).nanoseconds(i64::MAX / 999), None);
        for (timestamp, ns) in [
            (0, 0),
            (1_700_000_000, 1_700_000_000_000_000_000),
            (-1_700_000_000, -1_700_000_000_000_000_000),
            (1_700_000_000_123, 1_700_000_000_123_000_000),
            (1_700_000_000_123_456, 1_700_000_000_123_456_000),
            (1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
            (i64::MIN, i64::MIN),
        ] {
            assert_eq!(Precision::Auto.nanoseconds(timestamp), Some(ns), "{timestamp}");
        }
    }
}
