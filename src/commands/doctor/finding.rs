//! What was found of one thing, and what to do about it.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    Ok,
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub state: FindingState,
    pub found: String,
    pub advice: Option<String>,
}

pub fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, state: FindingState::Ok, found: found.into(), advice: None }
}

pub fn bad(check: &'static str, state: FindingState, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { check, state, found: found.into(), advice: Some(advice.into()) }
}

/// Ok if `right`, else a warning with advice.
pub fn expect(check: &'static str, right: bool, found: impl Into<String>, advice: &str) -> Finding {
    if right { ok(check, found) } else { bad(check, FindingState::Warning, found, advice) }
}
