//! What was found of one thing, and what to do about it.

use serde::Serialize;

use crate::storage::needs::{Need, NeedState, Severity};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    Ok,
    Warning,
    Failed,
    /// It could not be looked at, or the role may not look.
    Unknown,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub check: String,
    pub state: FindingState,
    pub found: String,
    pub advice: Option<String>,
}

pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Finding {
    Finding { check: check.into(), state: FindingState::Ok, found: found.into(), advice: None }
}

pub fn bad(
    check: impl Into<String>,
    state: FindingState,
    found: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding { check: check.into(), state, found: found.into(), advice: Some(advice.into()) }
}

/// Ok if `right`, else a warning with advice.
pub fn expect(check: impl Into<String>, right: bool, found: impl Into<String>, advice: &str) -> Finding {
    if right { ok(check, found) } else { bad(check, FindingState::Warning, found, advice) }
}

/// What may not be looked at, and what lets it be.
pub fn unknown(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    bad(check, FindingState::Unknown, found, advice)
}

impl From<Need> for Finding {
    fn from(need: Need) -> Self {
        let state = match (need.state, need.severity) {
            (NeedState::Met, _) => FindingState::Ok,
            (NeedState::Unknown, _) => FindingState::Unknown,
            (NeedState::Unmet, Severity::Must | Severity::Passes | Severity::Should) => FindingState::Failed,
            (NeedState::Unmet, Severity::Advice) => FindingState::Warning,
        };
        Self { check: need.name, state, found: need.found, advice: need.mend }
    }
}
