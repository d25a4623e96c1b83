//! Which event is the parent of one that names it: correlations and reads must not say two things.

use jiff::Timestamp;
use uuid::Uuid;

/// How an event goes by the id that a child names; the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namesake {
    /// It is of the child's own source, and the id is its own there.
    OfSource,
    /// The id is the one that it is stored under.
    ById,
    /// Another source calls one of its events so.
    Elsewhere,
}

/// An event that goes by the id that a child names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentCandidate {
    pub id: Uuid,
    pub at: Timestamp,
    pub by: Namesake,
}

impl Namesake {
    /// How the event (`id`, `source_module`), which goes by `named`, does so to a child of `child_source`.
    pub fn of(named: Uuid, child_source: Option<&str>, id: Uuid, source_module: &str) -> Self {
        match (child_source == Some(source_module), id == named) {
            (true, _) => Self::OfSource,
            (false, true) => Self::ById,
            (false, false) => Self::Elsewhere,
        }
    }
}

/// Of several candidates the surest; of equally sure ones the latest that is not after the child, else the earliest after
/// it. Nothing is its own parent.
pub fn parent_of(
    child_id: Uuid,
    child_at: Timestamp,
    candidates: impl IntoIterator<Item = ParentCandidate>,
) -> Option<ParentCandidate> {
    let distance =
        |candidate: &ParentCandidate| (candidate.at > child_at, candidate.at.duration_since(child_at).unsigned_abs());
    let others = candidates.into_iter().filter(|candidate| candidate.id != child_id);
    others.min_by_key(|candidate| (candidate.by, distance(candidate), candidate.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a valid time")
    }

    fn chosen(candidates: &[(i64, Namesake)]) -> Option<i64> {
        let candidate = |&(second, by): &(i64, Namesake)| {
            let id = Uuid::from_u128(u128::from(second.unsigned_abs()));
            ParentCandidate { id, at: at(second), by }
        };
        let found = parent_of(Uuid::from_u128(99), at(0), candidates.iter().map(candidate))?;
        Some(found.at.as_second() - at(0).as_second())
    }

    #[test]
    fn the_latest_before_the_child_else_the_earliest_after_it() {
        for by in [Namesake::OfSource, Namesake::ById, Namesake::Elsewhere] {
            let times = |seconds: &[i64]| chosen(&seconds.iter().map(|second| (*second, by)).collect::<Vec<_>>());
            assert_eq!(times(&[-90, -5, 3]), Some(-5));
            assert_eq!(times(&[7, 3]), Some(3));
            assert_eq!(times(&[0]), Some(0));
            assert_eq!((times(&[]), times(&[-99])), (None, None), "nothing, and the child itself");
        }
    }

    #[test]
    fn the_childs_own_source_before_all_others_however_near() {
        use Namesake::{ById, Elsewhere, OfSource};
        assert_eq!(chosen(&[(-1, Elsewhere), (-50, OfSource), (-2, ById)]), Some(-50));
        assert_eq!(chosen(&[(-1, Elsewhere), (40, ById)]), Some(40));
        assert_eq!(chosen(&[(-1, Elsewhere), (-2, Elsewhere)]), Some(-1));
    }

    #[test]
    fn how_an_event_goes_by_a_name() {
        let (named, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(Namesake::of(named, Some("a"), other, "a"), Namesake::OfSource);
        assert_eq!(Namesake::of(named, Some("a"), named, "b"), Namesake::ById);
        assert_eq!(Namesake::of(named, Some("a"), other, "b"), Namesake::Elsewhere);
        assert_eq!(Namesake::of(named, None, other, "b"), Namesake::Elsewhere);
    }
}
