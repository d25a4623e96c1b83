//! The chain of a correlation id: its events in order of time, each related to the one right before it.
//!
//! Pure. What is known of events outside of the slice at hand comes from two sources: the ends of each minute that the job
//! has been through (exact), and hours of `correlation_groups` (times only). From them follows which event is the
//! neighbour, or in which stretch of time it has to be looked for.

use jiff::Timestamp;
use uuid::Uuid;

use crate::limits::CHAIN_GAP_MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainEvent {
    pub at: Timestamp,
    pub id: Uuid,
    pub module: String,
}

impl ChainEvent {
    pub fn key(&self) -> (Timestamp, Uuid) {
        (self.at, self.id)
    }
}

/// First and last event of a group in some minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    pub first: ChainEvent,
    pub last: ChainEvent,
}

/// What is known around a group's events of a slice.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Of the nearest minute with events before the first event's, the last.
    pub before: Option<ChainEvent>,
    pub first_minute: Option<Edge>,
    pub last_minute: Option<Edge>,
    /// Of the nearest minute with events after the last event's, the first.
    pub after: Option<ChainEvent>,
    /// First and last time of hours with events.
    pub hours: Vec<(Timestamp, Timestamp)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Neighbour {
    None,
    Is(ChainEvent),
    /// To be looked for between these times, both included.
    Within(Timestamp, Timestamp),
}

impl Neighbour {
    /// The neighbour, where it is known.
    pub fn event(&self) -> Option<&ChainEvent> {
        if let Self::Is(point) = self { Some(point) } else { None }
    }
}

/// The neighbour right before `first`. Nothing lies between `clear_from` and it, since the slice holds all events from there
/// on; `cut` when the slice begins within the first event's minute, and `clear_from` is nothing but its own time.
pub(super) fn before(first: &ChainEvent, clear_from: Timestamp, cut: bool, known: &Known) -> Neighbour {
    let mut exact = known.before.as_ref();
    let mut look: Option<(Timestamp, Timestamp)> = None;
    if cut && let Some(own) = &known.first_minute {
        if own.last.key() < first.key() {
            exact = Some(&own.last);
        } else if own.first.key() < first.key() {
            look = Some((own.first.at, first.at));
        }
    }
    for &(hour_first, hour_last) in &known.hours {
        let reaches = hour_last.min(clear_from);
        let relevant = if cut { hour_first <= clear_from } else { hour_first < clear_from };
        if relevant && exact.is_none_or(|exact| reaches > exact.at) {
            let from = if hour_last < clear_from { hour_last } else { hour_first };
            look = Some(look.map_or((from, reaches), |(f, t)| (f.max(from), t.max(reaches))));
        }
    }
    match (look, exact) {
        (Some((from, to)), exact) => Neighbour::Within(exact.map_or(from, |exact| from.max(exact.at)), to),
        (None, Some(exact)) => Neighbour::Is(exact.clone()),
        (None, None) => Neighbour::None,
    }
}

/// The neighbour right after `last`; the mirror image of [`before`]. The slice holds all events before `clear_until`.
pub(super) fn after(last: &ChainEvent, clear_until: Timestamp, cut: bool, known: &Known) -> Neighbour {
    let mut exact = known.after.as_ref();
    let mut look: Option<(Timestamp, Timestamp)> = None;
    if cut && let Some(own) = &known.last_minute {
        if own.first.key() > last.key() {
            exact = Some(&own.first);
        } else if own.last.key() > last.key() {
            look = Some((last.at, own.last.at));
        }
    }
    for &(hour_first, hour_last) in &known.hours {
        let reaches = hour_first.max(clear_until);
        if hour_last >= clear_until && exact.is_none_or(|exact| reaches < exact.at) {
            let to = if hour_first >= clear_until { hour_first } else { hour_last };
            look = Some(look.map_or((reaches, to), |(f, t)| (f.min(reaches), t.min(to))));
        }
    }
    match (look, exact) {
        (Some((from, to)), exact) => Neighbour::Within(from, exact.map_or(to, |exact| to.min(exact.at))),
        (None, Some(exact)) => Neighbour::Is(exact.clone()),
        (None, None) => Neighbour::None,
    }
}

/// Whether two neighbours of a group are a pair: near enough, and not one event that was sent twice.
pub(super) fn is_pair(earlier: &ChainEvent, later: &ChainEvent) -> bool {
    earlier.id != later.id && gap_s(earlier, later) <= CHAIN_GAP_MAX.as_secs_f64()
}

/// Strength of a pair that shares a correlation id: from 1 when they are at once towards 1/2 when they are minutes apart.
pub(super) fn strength(earlier: &ChainEvent, later: &ChainEvent) -> f64 {
    0.5 + 0.5 * (-gap_s(earlier, later) / 60.0).exp()
}

/// Confidence of such a pair: an id that two modules share was handed on; within one module it may be any constant.
pub(super) fn confidence(earlier: &ChainEvent, later: &ChainEvent) -> f64 {
    if earlier.module == later.module { 0.8 } else { 1.0 }
}

fn gap_s(earlier: &ChainEvent, later: &ChainEvent) -> f64 {
    later.at.duration_since(earlier.at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a valid time")
    }

    fn point(second: i64) -> ChainEvent {
        ChainEvent { at: at(second), id: Uuid::from_u128(second.unsigned_abs().into()), module: "m".into() }
    }

    fn edge(first: i64, last: i64) -> Option<Edge> {
        Some(Edge { first: point(first), last: point(last) })
    }

    #[test]
    fn nothing_known_is_no_neighbour() {
        assert_eq!(before(&point(65), at(60), false, &Known::default()), Neighbour::None);
        assert_eq!(after(&point(65), at(120), false, &Known::default()), Neighbour::None);
    }

    #[test]
    fn the_end_of_the_nearest_minute_is_the_neighbour() {
        let known = Known { before: Some(point(30)), after: Some(point(300)), ..Known::default() };
        assert_eq!(before(&point(65), at(60), false, &known), Neighbour::Is(point(30)));
        assert_eq!(after(&point(65), at(120), false, &known), Neighbour::Is(point(300)));
    }

    #[test]
    fn the_own_minute_counts_only_where_the_slice_is_cut() {
        let known = Known { first_minute: edge(61, 64), last_minute: edge(61, 70), ..Known::default() };
        assert_eq!(before(&point(65), at(60), false, &known), Neighbour::None);
        assert_eq!(before(&point(65), at(65), true, &known), Neighbour::Is(point(64)));
        assert_eq!(before(&point(63), at(63), true, &known), Neighbour::Within(at(61), at(63)));
        assert_eq!(before(&point(61), at(61), true, &known), Neighbour::None);
        assert_eq!(after(&point(65), at(120), false, &known), Neighbour::None);
        assert_eq!(after(&point(65), at(65), true, &known), Neighbour::Within(at(65), at(70)));
        assert_eq!(after(&point(70), at(70), true, &known), Neighbour::None);
    }

    #[test]
    fn an_hour_tells_its_ends_and_within_it_one_has_to_look() {
        let hours = vec![(at(-7000), at(-4000)), (at(3), at(900))];
        let known = Known { hours, ..Known::default() };
        assert_eq!(before(&point(65), at(60), false, &known), Neighbour::Within(at(3), at(60)));
        assert_eq!(after(&point(65), at(120), false, &known), Neighbour::Within(at(120), at(900)));
        assert_eq!(before(&point(-60), at(-60), false, &known), Neighbour::Within(at(-4000), at(-4000)));
        assert_eq!(after(&point(-60), at(0), false, &known), Neighbour::Within(at(3), at(3)));
        assert_eq!(after(&point(950), at(960), false, &known), Neighbour::None);
    }

    #[test]
    fn what_is_exact_narrows_or_ends_the_search() {
        let known = Known {
            before: Some(point(40)),
            after: Some(point(130)),
            hours: vec![(at(3), at(900))],
            ..Known::default()
        };
        assert_eq!(before(&point(65), at(60), false, &known), Neighbour::Within(at(40), at(60)));
        assert_eq!(after(&point(65), at(120), false, &known), Neighbour::Within(at(120), at(130)));
        let known = Known { before: Some(point(-4000)), hours: vec![(at(-7000), at(-4000))], ..Known::default() };
        assert_eq!(before(&point(65), at(60), false, &known), Neighbour::Is(point(-4000)));
    }

    #[test]
    fn strength_falls_with_the_gap_and_pairs_end_at_a_day() {
        assert!((strength(&point(0), &point(0)) - 1.0).abs() < 1e-12);
        assert!((strength(&point(0), &point(60)) - (0.5 + 0.5 / std::f64::consts::E)).abs() < 1e-12);
        assert!((strength(&point(0), &point(86_400)) - 0.5).abs() < 1e-12);
        assert!(is_pair(&point(0), &point(86_400)) && !is_pair(&point(0), &point(86_401)));
        let again = ChainEvent { at: at(9), ..point(0) };
        assert!(!is_pair(&point(0), &again), "one event that was sent twice");
        assert!((confidence(&point(0), &point(1)) - 0.8).abs() < f64::EPSILON);
        let other = ChainEvent { module: "other".into(), ..point(1) };
        assert!((confidence(&point(0), &other) - 1.0).abs() < f64::EPSILON);
    }
}
