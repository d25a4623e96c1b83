//! Lift: how much more often two types of events occur together than by chance. Pure.
//!
//! Presence of a type is a bit a minute of the last 64, the newest lowest. A window is five consecutive minutes, and slides
//! by one: the windows overlap, so that a single minute with both types counts in five of them. Support is a number of such
//! windows and not of independent observations; the least support of five windows is what one common minute gives, and
//! lift grows only when the types stay away together as well.

use crate::limits::{LIFT_MIN, LIFT_SUPPORT_MIN, LIFT_WINDOW_MINUTES};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lift {
    pub support: u32,
    pub windows: u32,
    /// P(AB) / (P(A) P(B)).
    pub lift: f64,
    /// The larger of P(A|B) and P(B|A).
    pub conditional: f64,
}

impl Lift {
    /// Strength of the pair: how far lift is beyond chance, from 1/2 at twice as often towards 1.
    pub fn strength(self) -> f64 {
        1.0 - 1.0 / self.lift
    }

    /// Confidence: little support counts little.
    pub fn confidence(self) -> f64 {
        let support = f64::from(self.support);
        support / (support + 5.0) * self.conditional
    }
}

/// Windows in which something is present, a bit each by its newest minute.
pub(super) fn windows(minutes: u64) -> u64 {
    (0..LIFT_WINDOW_MINUTES).fold(0, |windows, shift| windows | minutes >> shift)
}

/// The windows to be counted: those that lie within the minutes looked at and, since silence before its first event says
/// nothing about a tenant, reach its first minute or come after it.
pub(super) fn counted(tenant_minutes: u64) -> u64 {
    let whole = u64::MAX >> (LIFT_WINDOW_MINUTES - 1);
    let known = u64::MAX.checked_shr(tenant_minutes.leading_zeros()).unwrap_or(0);
    whole & known
}

/// The lift of two types, from their windows; None when it is under the limits.
pub(super) fn lift(a: u64, b: u64, counted: u64) -> Option<Lift> {
    let count = |windows: u64| (windows & counted).count_ones();
    let (support, with_a, with_b, windows) = (count(a & b), count(a), count(b), counted.count_ones());
    if support < LIFT_SUPPORT_MIN {
        return None;
    }
    let both = f64::from(support);
    let lift = both * f64::from(windows) / (f64::from(with_a) * f64::from(with_b));
    let conditional = (both / f64::from(with_a)).max(both / f64::from(with_b));
    (lift >= LIFT_MIN).then_some(Lift { support, windows, lift, conditional })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_five_minutes_by_its_newest() {
        assert_eq!(windows(1), 0b1);
        assert_eq!(windows(1 << 10), 0b111_1100_0000);
        assert_eq!(windows(0), 0);
    }

    #[test]
    fn windows_are_counted_from_the_tenants_first_minute() {
        assert_eq!(counted(u64::MAX).count_ones(), 60);
        assert_eq!(counted(0b1000), 0b1111);
        assert_eq!(counted(1), 1);
        assert_eq!(counted(0), 0);
    }

    #[test]
    fn what_is_always_there_has_no_lift() {
        let always = windows(u64::MAX);
        assert_eq!(lift(always, always, counted(u64::MAX)), None);
        // Nor has a tenant that began ten minutes ago and has both ever since.
        let young = u64::MAX >> 54;
        assert_eq!(lift(windows(young), windows(young), counted(young)), None);
    }

    #[test]
    fn bursts_that_coincide_have_a_high_lift() {
        let burst = 1 << 20 | 1 << 50;
        let found =
            lift(windows(burst), windows(burst << 2), counted(u64::MAX)).expect("twice at nearly the same time");
        // Each is in 10 of 60 windows, both in 6 of them.
        assert_eq!((found.support, found.windows), (6, 60));
        assert!((found.lift - 6.0 * 60.0 / 100.0).abs() < 1e-12);
        assert!((found.conditional - 0.6).abs() < 1e-12);
        assert!((found.strength() - (1.0 - 1.0 / 3.6)).abs() < 1e-12);
        assert!((found.confidence() - 6.0 / 11.0 * 0.6).abs() < 1e-12);
    }

    #[test]
    fn little_support_and_chance_are_nothing() {
        // In four windows together.
        assert_eq!(lift(windows(1 << 20), windows(1 << 21), counted(u64::MAX)), None);
        // One is nearly always there: together no more often than by chance.
        assert_eq!(lift(windows(u64::MAX), windows(1 << 20), counted(u64::MAX)), None);
    }

    #[test]
    fn strength_and_confidence_lie_between_0_and_1() {
        let mut rng = 1_u64;
        for _ in 0..10_000 {
            rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (a, b) =
                (rng & rng.rotate_left(17) & rng.rotate_left(31), rng & rng.rotate_left(9) & rng.rotate_left(40));
            if let Some(found) = lift(windows(a), windows(b), counted(a | b)) {
                assert!(
                    (0.5..1.0).contains(&found.strength()) && (0.0..1.0).contains(&found.confidence()),
                    "{found:?}"
                );
            }
        }
    }
}
