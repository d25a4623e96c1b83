//! A look at a spool from outside, also while a process has it: nothing is locked or changed.

use std::io;
use std::path::Path;

use super::cursor::Saved;
use super::fs::Fs;
use super::quarantine;
use super::stats::Stats;
use super::survey::survey;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Its figures. Of a spool in use: records that are being written may be among them.
    pub stats: Stats,
    /// Stretches of its segments that are damaged, segments of which nothing can be read, and missing segments.
    pub damages: u64,
    /// There is a cursor, and it cannot be read.
    pub cursor_lost: bool,
    /// What has a name of the spool's and is not what that name says, and why: no process starts on it.
    pub odd: Vec<(String, String)>,
}

/// Looks at the spool in `dir`, reading every segment that is not drained. None: there is none.
pub fn look(fs: &dyn Fs, dir: &Path) -> io::Result<Option<Look>> {
    let survey = match survey(fs, dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut look = Look {
        stats: Stats { quarantined: quarantine::contents(fs, dir)?, ..Stats::default() },
        damages: survey.gaps,
        cursor_lost: survey.saved == Saved::Corrupt,
        odd: survey.odd,
    };
    let mut oldest_us = None;
    for surveyed in &survey.segments {
        look.stats.undrained += surveyed.undrained;
        look.stats.segments += 1;
        look.stats.disk_bytes += surveyed.segment.disk_bytes;
        look.damages += surveyed.damage.len() as u64 + u64::from(surveyed.unreadable.is_some());
        oldest_us = oldest_us.or(surveyed.oldest_us);
    }
    look.stats.oldest_age_us = oldest_us.map_or(0, |oldest| u64::try_from(fs.now_us() - oldest).unwrap_or(0));
    Ok(Some(look))
}
