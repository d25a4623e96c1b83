//! An event as projections see it, and where it stands among others.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

/// Which event says something, and when that happened. Of two that say the same of a row the greater one is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its timestamp, in unix microseconds.
    pub at_us: i64,
    /// Tells events of one moment apart: what ends something is after what begins it.
    pub rank: u8,
    pub id: Uuid,
    pub stream: Arc<str>,
    pub offset: i64,
}

impl Ord for Origin {
    /// Of an event that is stored twice the copy that came first counts, so that the other one changes nothing.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |origin: &Self| (origin.at_us, origin.rank, origin.id);
        let copy = |one: &Self, other: &Self| {
            (Reverse(&*one.stream), Reverse(one.offset)).cmp(&(Reverse(&*other.stream), Reverse(other.offset)))
        };
        key(self).cmp(&key(other)).then_with(|| copy(self, other))
    }
}

impl PartialOrd for Origin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The codes of [`Unfit`].
pub const UNFIT_CODES: [&str; 5] = ["missing_field", "wrong_type", "too_long", "unreadable", "row_refused"];

/// Why a projection cannot take an event: a stable code, and what is wrong with it and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    pub code: &'static str,
    pub reason: String,
}

impl Unfit {
    pub fn new(code: &'static str, reason: impl Into<String>) -> Self {
        debug_assert!(UNFIT_CODES.contains(&code), "{code} is to be among them");
        Self { code, reason: reason.into() }
    }
}

/// The members of a payload, by name, as they were sent.
pub type Payload<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// An event of a type that a projection names.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    pub tenant_id: &'a str,
    pub event_type: &'a str,
    /// In unix microseconds.
    pub at_us: i64,
    pub environment: &'a str,
    pub asset_id: Option<&'a str>,
    pub payload: Payload<'a>,
}

impl<'a> Told<'a> {
    /// The members of a payload's text.
    pub fn payload_of(text: &'a str) -> Result<Payload<'a>, Unfit> {
        serde_json::from_str(text)
            .map_err(|error| Unfit::new("unreadable", format!("the payload cannot be read: {error}")))
    }
}
