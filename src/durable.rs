//! Small files that outlive the process: whole or not at all, and nobody else's.
//!
//! A file is written under another name, synced, renamed, and its folder synced, so that after a crash at any step either
//! the old content is there or the new one. Its first line says what it is, in which version, how long and with which
//! CRC32C. One that is not whole, of another version, of another account, open to others, or no file of its own (a
//! symbolic link, a pipe) is set aside under another name with a line in the log, and counts as missing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crc32c::crc32c;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use crate::files;

/// Longest first line, in bytes.
const HEAD_BYTES_MAX: usize = 128;

/// A file that is kept.
#[derive(Debug)]
pub struct DurableFile {
    path: PathBuf,
    /// What it is, in a word.
    kind: &'static str,
    /// Of its content; another one is not read.
    version: u32,
    /// Of its content at most.
    bytes_max: usize,
    /// One save at a time: they share a name.
    saving: Mutex<()>,
}

/// What saving does, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Write,
    Sync,
    Rename,
    SyncFolder,
}

impl DurableFile {
    pub fn new(path: PathBuf, kind: &'static str, version: u32, bytes_max: usize) -> Self {
        Self { path, kind, version, bytes_max, saving: Mutex::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content; None where there is none, or none that can be used.
    pub fn load(&self) -> Option<Vec<u8>> {
        match self.read() {
            Ok(content) => Some(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.set_aside(&error.to_string());
                None
            }
        }
    }

    /// Its content, for somebody beside the process whose file it is: nothing is set aside.
    pub fn look(&self) -> io::Result<Vec<u8>> {
        self.read()
    }

    /// Puts the file where it is not read again, for somebody to look at.
    pub fn set_aside(&self, reason: &str) {
        let (path, aside) = (self.path.display(), self.beside("damaged"));
        match fs::rename(&self.path, &aside) {
            Ok(()) => {
                tracing::error!(%path, reason, aside = %aside.display(), "a file cannot be used and is set aside")
            }
            Err(error) => tracing::error!(%path, reason, %error, "a file cannot be used, nor be set aside"),
        }
    }

    /// Replaces its content, durably. Blocks.
    pub fn save(&self, content: &[u8]) -> io::Result<()> {
        self.save_by_steps(content, |_step| Ok(()))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        // A pipe would be waited for; a link leads to somebody else's file.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&self.path)?;
        let metadata = file.metadata()?;
        let bad = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidData, reason.to_owned()));
        if !metadata.is_file() {
            return bad("it is no regular file");
        }
        if metadata.uid() != geteuid().as_raw() && metadata.uid() != fs::metadata(self.folder())?.uid() {
            return bad("it belongs to another account");
        }
        if metadata.mode() & 0o077 != 0 {
            return bad("others may read or change it");
        }
        let mut bytes = Vec::new();
        file.take((HEAD_BYTES_MAX + self.bytes_max) as u64 + 1).read_to_end(&mut bytes)?;
        let Some(end) = bytes.iter().take(HEAD_BYTES_MAX).position(|byte| *byte == b'\n') else {
            return bad("it does not begin with a line that says what it is");
        };
        let content = bytes.split_off(end + 1);
        if bytes != self.head(&content) {
            return bad("it is not whole, or of another version");
        }
        Ok(content)
    }

    fn head(&self, content: &[u8]) -> Vec<u8> {
        let Self { kind, version, .. } = self;
        format!("tidegate {kind} {version} {} {:08x}\n", content.len(), crc32c(content)).into_bytes()
    }

    fn save_by_steps(&self, content: &[u8], mut before: impl FnMut(Step) -> io::Result<()>) -> io::Result<()> {
        if content.len() > self.bytes_max {
            return Err(io::Error::other(format!(
                "{} bytes are more than the {} that are kept",
                content.len(),
                self.bytes_max
            )));
        }
        let _saving = self.saving.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = self.beside("new");
        before(Step::Create)?;
        // What is there is of a save that was cut short.
        let mut file = files::fresh(&new)?;
        let folder = fs::metadata(self.folder())?;
        if geteuid().is_root() && folder.uid() != geteuid().as_raw() {
            // A command that root runs beside a service of another account.
            fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
        }
        before(Step::Write)?;
        file.write_all(&self.head(content))?;
        file.write_all(content)?;
        before(Step::Sync)?;
        file.sync_all()?;
        before(Step::Rename)?;
        fs::rename(&new, &self.path)?;
        before(Step::SyncFolder)?;
        self.sync_folder()
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(self.folder())?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tempfile::TempDir;

    use super::*;

    fn file(dir: &TempDir) -> DurableFile {
        DurableFile::new(dir.path().join("kept"), "test", 1, 1000)
    }

    fn damaged(dir: &TempDir) -> PathBuf {
        dir.path().join("kept.damaged")
    }

    #[test]
    fn what_was_saved_is_loaded_and_only_its_owner_may() {
        let dir = TempDir::new().unwrap();
        let file = file(&dir);
        assert_eq!(file.load(), None);
        for content in [&b"first\nand more"[..], b"", b"second"] {
            file.save(content).unwrap();
            assert_eq!(file.load().unwrap(), content);
            assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o7777, 0o600);
        }
        assert!(!damaged(&dir).exists());
    }

    #[test]
    fn a_crash_before_any_step_leaves_the_old_or_the_new() {
        const STEPS: [Step; 5] = [Step::Create, Step::Write, Step::Sync, Step::Rename, Step::SyncFolder];
        for (n, last) in STEPS.into_iter().enumerate() {
            let dir = TempDir::new().unwrap();
            let file = file(&dir);
            file.save(b"old").unwrap();
            let mut done = Vec::new();
            let crashed = file.save_by_steps(b"new", |step| {
                if step == last {
                    return Err(io::Error::other("crash"));
                }
                done.push(step);
                Ok(())
            });
            assert!(crashed.is_err());
            assert_eq!(done, STEPS[..n], "in this order: what is renamed is synced");
            let expected: &[u8] = if last == Step::SyncFolder { b"new" } else { b"old" };
            assert_eq!(file.load().unwrap(), expected, "{last:?}");
            // What is left of it is in nobody's way.
            file.save(b"after").unwrap();
            assert_eq!(file.load().unwrap(), b"after");
            assert!(!damaged(&dir).exists(), "{last:?}");
        }
    }

    #[test]
    fn what_is_cut_short_or_changed_is_set_aside() {
        let dir = TempDir::new().unwrap();
        let file = file(&dir);
        file.save(b"content").unwrap();
        let whole = fs::read(file.path()).unwrap();
        let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
        let flipped = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        });
        let longer = [whole.clone(), b"x".to_vec()].concat();
        for bytes in cut.chain(flipped).chain([longer, vec![b'x'; 5000]]) {
            file.save(b"").unwrap();
            fs::write(file.path(), &bytes).unwrap();
            assert_eq!(file.load(), None, "{bytes:?}");
            assert_eq!(fs::read(damaged(&dir)).unwrap(), bytes);
            assert_eq!(file.load(), None, "and is missing from then on");
        }
    }

    #[test]
    fn another_kind_or_version_is_set_aside() {
        for other in [("other", 1), ("test", 2)] {
            let dir = TempDir::new().unwrap();
            DurableFile::new(dir.path().join("kept"), other.0, other.1, 1000).save(b"content").unwrap();
            assert_eq!(file(&dir).load(), None);
            assert!(damaged(&dir).exists());
        }
    }

    #[test]
    fn what_others_may_change_or_have_put_there_is_set_aside() {
        type Put = fn(&Path);
        let puts: [Put; 5] = [
            |path| fs::set_permissions(path, Permissions::from_mode(0o640)).unwrap(),
            |path| fs::set_permissions(path, Permissions::from_mode(0o602)).unwrap(),
            |path| {
                let elsewhere = path.with_extension("elsewhere");
                fs::rename(path, &elsewhere).unwrap();
                symlink(elsewhere, path).unwrap();
            },
            |path| {
                fs::remove_file(path).unwrap();
                mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
            },
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
        ];
        for (n, put) in puts.into_iter().enumerate() {
            let dir = TempDir::new().unwrap();
            let file = file(&dir);
            file.save(b"content").unwrap();
            put(file.path());
            assert_eq!(file.load(), None, "{n}");
            assert!(fs::symlink_metadata(damaged(&dir)).is_ok(), "{n}");
            file.save(b"again").unwrap();
            assert_eq!(file.load().unwrap(), b"again", "{n}");
        }
    }

    #[test]
    fn a_link_in_the_way_of_a_save_is_not_followed() {
        let dir = TempDir::new().unwrap();
        let (file, victim) = (file(&dir), dir.path().join("victim"));
        fs::write(&victim, b"precious").unwrap();
        symlink(&victim, file.path()).unwrap();
        symlink(&victim, dir.path().join("kept.new")).unwrap();
        file.save(b"content").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(file.load().unwrap(), b"content");
    }

    #[test]
    fn it_is_bounded() {
        let dir = TempDir::new().unwrap();
        let file = file(&dir);
        file.save(&[b'x'; 1000]).unwrap();
        assert!(file.save(&[b'x'; 1001]).is_err());
        assert_eq!(file.load().map(|content| content.len()), Some(1000));
    }
}
