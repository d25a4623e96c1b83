//! Opening a spool: the lock, what is found in the folder, and what of it is delivered.
//!
//! Whatever its files hold, the spool opens: damage costs the records that it hit, is counted, and is kept in the
//! quarantine. A name of the spool's that stands for no file of ours, a link or a folder, is refused instead: what it
//! led to may come back, and its number must not be used again meanwhile. No segment of an earlier process is written to again.

use std::path::Path;
use std::sync::Arc;

use super::config::SpoolPlace;
use super::cursor::Saved;
use super::error::SpoolError;
use super::fs::{Fs, LockError, LockGuard};
use super::keeper::Keeper;
use super::quarantine;
use super::record::HEADER_BYTES;
use super::state::{Position, Shared, SpoolState, Totals};
use super::survey::{QUARANTINE, Survey, survey};

/// What was found when a spool was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Waiting to be drained.
    pub undrained: Totals,
    pub segments: u64,
    /// Bytes of a write that was cut short, never acknowledged.
    pub torn_bytes: u64,
    /// Stretches of segments that are damaged; what else is in these segments is delivered.
    pub damaged_stretches: u64,
    /// Segments of which nothing can be read.
    pub unreadable_segments: u64,
    /// Places where segments are missing.
    pub gaps: u64,
    /// There is a cursor, but it cannot be read: everything still there is drained again, and the ledger knows it.
    pub cursor_lost: bool,
}

/// An opened spool, not yet in a thread.
pub struct Opened {
    pub keeper: Keeper,
    pub lock: LockGuard,
    pub recovery: Recovery,
}

/// Opens the spool of a folder, making it if need be.
pub fn open(config: SpoolPlace, fs: Arc<dyn Fs>) -> Result<Opened, SpoolError> {
    let dir = config.dir.clone();
    let quarantine = dir.join(QUARANTINE);
    for folder in [&dir, &quarantine] {
        fs.create_dir(folder).map_err(|error| SpoolError::io("make the folder", folder, error))?;
    }
    let lock = fs.lock(&dir.join("lock")).map_err(|error| match error {
        LockError::Held(holder) => SpoolError::Locked { dir: dir.clone(), holder },
        LockError::Io(error) => SpoolError::io("lock the spool", &dir, error),
    })?;
    let survey = survey(&*fs, &dir).map_err(|error| SpoolError::io("look through the spool", &dir, error))?;
    if !survey.odd.is_empty() {
        return Err(SpoolError::Odd { dir, odd: survey.odd });
    }
    let quarantined =
        quarantine::contents(&*fs, &dir).map_err(|error| SpoolError::io("look through", &quarantine, error))?;
    let recovery = report(&survey);
    // What is delivered from the last segment was perhaps never synced: its process may have died before.
    if let Some(last) = survey.segments.last().filter(|last| last.unreadable.is_none())
        && let Err(error) = last.segment.file.sync()
    {
        tracing::warn!(%error, "the last segment of the spool could not be synced");
    }
    let Survey { segments, drained, cursor, saved, next, .. } = survey;
    let saved = if let Saved::At(saved) = saved { saved } else { 0 };
    let behind = Position { first: next, offset: HEADER_BYTES as u64, sequence: next };
    let mut state = SpoolState {
        segments: Default::default(),
        next,
        read: segments.iter().find_map(|surveyed| surveyed.undrained_from).unwrap_or(behind),
        delivered: Default::default(),
        undrained: recovery.undrained,
        quarantined,
        closed: false,
    };
    state.segments.extend(drained);
    state.segments.extend(segments.into_iter().map(|surveyed| surveyed.segment));
    let damaged: Vec<_> = state.segments.iter().filter(|segment| segment.damaged).cloned().collect();
    let shared = Arc::new(Shared::new(state));
    let mut keeper = Keeper::new(fs, config, shared, cursor, saved);
    for segment in &damaged {
        if let Err(error) = keeper.quarantine_segment(segment) {
            tracing::warn!(%error, segment = segment.first, "a damaged segment could not be linked into the quarantine");
        }
    }
    if let Err(error) = keeper.settle() {
        tracing::warn!(%error, "the spool could not be tidied up");
    }
    Ok(Opened { keeper, lock, recovery })
}

fn report(survey: &Survey) -> Recovery {
    let mut recovery = Recovery {
        segments: survey.segments.len() as u64,
        gaps: survey.gaps,
        cursor_lost: survey.saved == Saved::Corrupt,
        ..Recovery::default()
    };
    for surveyed in &survey.segments {
        recovery.undrained += surveyed.undrained;
        recovery.torn_bytes += surveyed.torn_bytes;
        recovery.damaged_stretches += surveyed.damage.len() as u64;
        recovery.unreadable_segments += u64::from(surveyed.unreadable.is_some());
        log_damage(&surveyed.segment.first, &surveyed.damage, surveyed.unreadable.as_deref());
    }
    if recovery.gaps > 0 {
        tracing::error!(gaps = recovery.gaps, "segments of the spool are missing: what was in them is lost");
    }
    if recovery.cursor_lost {
        tracing::error!(
            "the spool's cursor cannot be read: everything in the spool is drained again, the ledger drops what it knows"
        );
    }
    for name in &survey.strangers {
        tracing::warn!(file = %Path::new(name).display(), "a file in the spool's folder does not belong to it");
    }
    recovery
}

fn log_damage(segment: &u64, damage: &[(u64, u64)], unreadable: Option<&str>) {
    /// Stretches of a segment that are logged.
    const LOGGED_MAX: usize = 10;
    if let Some(reason) = unreadable {
        tracing::error!(segment, reason, "a segment of the spool cannot be read");
    }
    for (from, to) in damage.iter().take(LOGGED_MAX) {
        tracing::error!(segment, from, to, "a stretch of a segment of the spool is damaged");
    }
}
