//! The lanes of a kind: the live one, and the late one for rows that may meet compression.

use std::time::Duration;

use super::lane::Lane;
use crate::limits::{CHUNK_OPEN_GRACE, LIVE_SLICES_MAX};
use crate::wire::item::RowRef;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// Rows for the chunks of now.
    Live,
    /// Rows that may meet compression: waits for locks are short.
    Late,
}

pub struct Lanes {
    pub live: Lane,
    pub late: Lane,
}

impl Lanes {
    pub fn of(&self, traffic: Traffic) -> &Lane {
        match traffic {
            Traffic::Live => &self.live,
            Traffic::Late => &self.late,
        }
    }

    pub fn both(&self) -> [&Lane; 2] {
        [&self.live, &self.late]
    }
}

/// Which traffic rows received at `now_us` are, where new slices of time are `slice_us` wide: those of closed chunks may
/// meet compression, those of many days hold many locks; both go where they delay nobody else.
pub fn traffic(rows: &[RowRef], slice_us: i64, now_us: i64) -> Traffic {
    let open_from_us = (now_us - micros(CHUNK_OPEN_GRACE)).div_euclid(slice_us) * slice_us;
    let mut slices: Vec<i64> = Vec::new();
    for row in rows {
        let slice = row.timestamp_us.div_euclid(slice_us);
        if slices.last() == Some(&slice) {
            continue;
        }
        if row.timestamp_us < open_from_us {
            return Traffic::Late;
        }
        if !slices.contains(&slice) {
            slices.push(slice);
            if slices.len() > LIVE_SLICES_MAX {
                return Traffic::Late;
            }
        }
    }
    Traffic::Live
}

pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("configured durations are below 292,000 years")
}
