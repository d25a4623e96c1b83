//! The server's log files, in `log/` of the cluster: what it said last, for errors, and how many files are kept.

use std::path::{Path, PathBuf};

/// Directory inside the cluster.
pub(super) const LOG_DIR: &str = "log";
/// Standard output and error of the server until its own log collector runs; rewritten at every start.
pub(super) const STARTUP_LOG: &str = "startup.log";
/// Files kept, at 16 MB each.
const LOG_FILES_MAX: usize = 10;
const TAIL_BYTES: usize = 4096;
const TAIL_LINES: usize = 12;

/// The last lines of what the server wrote since this start.
pub(super) fn tail(cluster: &Path) -> String {
    let dir = cluster.join(LOG_DIR);
    let newest = collected(&dir).pop();
    let texts = [Some(dir.join(STARTUP_LOG)), newest].into_iter().flatten();
    let text: String = texts.filter_map(|path| std::fs::read(path).ok()).map(|bytes| last_lines(&bytes)).collect();
    text.trim_end().to_owned()
}

fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| format!("  {line}\n")).collect()
}

/// Removes the oldest log files. PostgreSQL starts new files by size but never deletes one.
pub(super) fn prune(cluster: &Path) {
    let files = collected(&cluster.join(LOG_DIR));
    for path in &files[..files.len().saturating_sub(LOG_FILES_MAX)] {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old PostgreSQL log file");
        }
    }
}

/// The collector's files, oldest first: their names are their times.
fn collected(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("postgresql-"))
        .map(|e| e.path())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_files_are_kept() {
        let cluster = tempfile::tempdir().expect("a temp dir");
        let dir = cluster.path().join(LOG_DIR);
        std::fs::create_dir(&dir).expect("a writable dir");
        for n in 0..LOG_FILES_MAX + 3 {
            std::fs::write(dir.join(format!("postgresql-{n:03}.log")), format!("line {n}\n")).expect("a writable dir");
        }
        prune(cluster.path());
        assert_eq!(collected(&dir).len(), LOG_FILES_MAX);
        assert_eq!(tail(cluster.path()), format!("  line {}", LOG_FILES_MAX + 2));
    }
}
