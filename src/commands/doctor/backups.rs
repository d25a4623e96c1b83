//! Backups: whether there is one that is young enough, and whether the WAL since then is archived.

use jiff::Timestamp;

use super::finding::{Finding, FindingState, bad, expect, ok};
use crate::backup::{Backup, Folder};
use crate::config::Config;

/// What is in the folder of backups.
pub fn finding(config: &Config) -> Finding {
    let folder = Folder::at(&config.backup.dir);
    let shown = folder.path().display();
    let found = match folder.list() {
        Ok((found, _unreadable)) => found,
        Err(error) => {
            return bad("backups", FindingState::Warning, error.to_string(), "check that backup.dir can be reached");
        }
    };
    let Some(newest) = found.iter().rfind(|backup| backup.is_good()) else {
        let advice = "tidegate backup create makes one; backup.every has serve make them";
        return match config.backup.every {
            Some(_) => {
                bad("backups", FindingState::Warning, format!("no good one in {shown}"), "the log of serve says why")
            }
            // Who has a server of their own may have its backups made there, which cannot be seen from here.
            None if config.database.database_url.is_some() => {
                ok("backups", format!("none in {shown}; those of the database's own server are not seen from here"))
            }
            None => bad("backups", FindingState::Warning, format!("none in {shown}"), advice),
        };
    };
    let age_s = Timestamp::now().as_second() - newest.manifest.ended.as_second();
    let (count, hours) = (found.len(), age_s / 3600);
    let damaged = found.iter().filter(|backup: &&Backup| !backup.is_good()).count();
    let found =
        format!("{count} in {shown}, {damaged} of them damaged, the newest good one {} made {hours} h ago", newest.id);
    let late = config.backup.every.is_some_and(|every| age_s.unsigned_abs() > 2 * every.as_secs());
    expect(
        "backups",
        !late && damaged == 0,
        found,
        "the log of serve says why none is made; damaged ones may be removed",
    )
}
