//! The data directory before anything is made in it: a mistyped one is told, not made.

use std::io::ErrorKind;
use std::path::Path;

use super::StorageError;

/// What a data directory of Tidegate's has: the first letters of names. Of any of them there is one from the first start on.
const OURS: [&str; 3] = ["tidegate", "postgres", "spool"];
/// What the root of a volume may hold by itself.
const OF_VOLUMES: [&str; 2] = ["lost+found", ".snapshot"];

/// Refuses what is not a data directory and cannot become one: its parent must be there, and what it holds must be ours. Says
/// when a new one will be made.
pub(super) fn check(data_dir: &Path) -> Result<(), StorageError> {
    let refuse = |why: String, mend: &str| {
        Err(StorageError::fatal(format!("data_dir {}: {why}; {mend}, or correct data_dir", data_dir.display())))
    };
    let entries = match std::fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if data_dir.is_symlink() {
                return refuse("it is a link to what is not there".into(), "make the folder that it leads to");
            }
            let parent = data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !parent.is_dir() {
                return refuse(format!("there is no folder {}", parent.display()), "make that folder");
            }
            tracing::info!(data_dir = %data_dir.display(), "making a new data directory");
            return Ok(());
        }
        Err(error) => return refuse(error.to_string(), "let it be a folder that this user can read and write"),
    };
    let mut foreign = None;
    for entry in entries {
        let entry = entry.map_err(|error| StorageError::fatal(format!("data_dir {}: {error}", data_dir.display())))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if OURS.iter().any(|ours| name.starts_with(ours)) {
            return Ok(());
        }
        if !OF_VOLUMES.contains(&name.as_str()) {
            foreign = foreign.max(Some(name));
        }
    }
    match foreign {
        None => {
            tracing::info!(data_dir = %data_dir.display(), "making a new data directory in an empty folder");
            Ok(())
        }
        Some(name) => {
            refuse(format!("it holds nothing of Tidegate's, but `{name}`"), "name an empty folder or a new one")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    fn refusal(data_dir: &Path) -> String {
        check(data_dir).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_new_folder_an_empty_one_and_ones_own_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        check(&dir.path().join("new")).unwrap();
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        check(dir.path()).unwrap();
        for ours in ["spool", "postgres", "postgres.old", "tidegate.lock"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("notes.txt"), "").unwrap();
            std::fs::write(dir.path().join(ours), "").unwrap();
            check(dir.path()).unwrap();
        }
    }

    #[test]
    fn what_is_mistyped_is_named_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("typo/tidegate");
        let message = refusal(&deep);
        assert!(message.contains("typo") && message.contains("there is no folder"), "{message}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::os::unix::fs::symlink(dir.path().join("gone"), dir.path().join("link")).unwrap();
        assert!(refusal(&dir.path().join("link")).contains("a link to what is not there"));
        assert!(refusal(dir.path()).contains("`link`"), "it holds something else");
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(refusal(&file).contains("data_dir"));
        assert!(refusal(&file.join("below")).contains("data_dir"));
    }
}
