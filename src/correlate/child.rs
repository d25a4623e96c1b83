//! An event that names its parent, and which of the events that go by that name it is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::pairs::{CorrelationType, Pair, Side};
use crate::limits::{PARENT_AFTER_MAX, PARENT_BEFORE_MAX};
use crate::model::{Namesake, ParentCandidate, parent_of};

/// An event that names a parent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Child {
    /// The id that the parent goes by.
    pub parent_id: Uuid,
    pub event: Side,
    /// None: not noted by an earlier version.
    pub source_module: Option<String>,
}

impl Child {
    pub fn candidate(&self, id: Uuid, at: Timestamp, source_module: &str) -> ParentCandidate {
        ParentCandidate { id, at, by: Namesake::of(self.parent_id, self.source_module.as_deref(), id, source_module) }
    }

    fn is_in_window(&self, at: Timestamp) -> bool {
        at >= shifted(self.event.at, PARENT_BEFORE_MAX, -1) && at <= shifted(self.event.at, PARENT_AFTER_MAX, 1)
    }

    /// The parent among these, if one of them counts.
    pub fn parent(&self, candidates: impl IntoIterator<Item = ParentCandidate>) -> Option<ParentCandidate> {
        let near = candidates.into_iter().filter(|candidate| self.is_in_window(candidate.at));
        parent_of(self.event.id, self.event.at, near)
    }

    pub fn pair(&self, parent: ParentCandidate) -> Pair {
        let gap_ms = self.event.at.duration_since(parent.at).as_millis();
        Pair {
            kind: CorrelationType::Causal,
            primary: Side { at: parent.at, id: parent.id },
            related: self.event,
            strength: 1.0,
            confidence: 1.0,
            metadata: json!({ "rule": "parent", "gap_ms": i64::try_from(gap_ms).unwrap_or(i64::MAX) }),
            detail: String::new(),
        }
    }
}

/// A time moved back (-1) or on (1), as far as times go.
pub(super) fn shifted(at: Timestamp, by: Duration, sign: i32) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX) * sign;
    at.saturating_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a valid time")
    }

    fn child() -> Child {
        let event = Side { at: at(0), id: Uuid::from_u128(9) };
        Child { parent_id: Uuid::from_u128(1), event, source_module: Some("a".into()) }
    }

    #[test]
    fn a_parent_beyond_the_window_is_none() {
        let found = |second| child().parent([child().candidate(Uuid::from_u128(1), at(second), "b")]).is_some();
        assert_eq!([-86_401, -86_400, 300, 301].map(found), [false, true, true, false]);
    }

    #[test]
    fn one_out_of_the_window_does_not_stand_before_one_within() {
        let parent = child().parent([
            child().candidate(Uuid::from_u128(2), at(-86_401), "a"),
            child().candidate(Uuid::from_u128(3), at(-5), "b"),
        ]);
        assert_eq!(parent.map(|parent| (parent.id.as_u128(), parent.by)), Some((3, Namesake::Elsewhere)));
    }
}
