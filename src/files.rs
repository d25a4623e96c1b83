//! Files of the program's own: made for their owner alone whatever the umask says, and opened without following links.
//!
//! What others could have put or changed is not opened: a link leads somewhere else, a pipe blocks, and what another
//! user may write may hold anything.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Error, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

const OTHERS_WRITE: u32 = 0o002;
const GROUP_OR_OTHERS: u32 = 0o077;

/// Bytes free for this user where `folder` is, or will be.
pub fn free_bytes(folder: &Path) -> nix::Result<u64> {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let stat = nix::sys::statvfs::statvfs(existing)?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    File,
    Folder,
    /// Neither, or not only its owner's: why it is not to be opened.
    Odd(String),
}

/// What this is, if `owner` is the one whose it should be. The metadata are those of the name itself, not of what a link
/// leads to.
pub fn kind_of(metadata: &Metadata, owner: u32) -> FileKind {
    let kind = metadata.file_type();
    let named = [
        (kind.is_symlink(), "a symbolic link"),
        (kind.is_fifo(), "a named pipe"),
        (kind.is_socket(), "a socket"),
        (kind.is_block_device() || kind.is_char_device(), "a device"),
    ];
    if let Some((_, name)) = named.into_iter().find(|(is, _)| *is) {
        return FileKind::Odd(format!("it is {name}"));
    }
    if metadata.uid() != owner {
        return FileKind::Odd(format!("it belongs to user id {}, not to {owner}", metadata.uid()));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return FileKind::Odd(format!("everybody may write to it (mode {:04o})", metadata.mode() & 0o7777));
    }
    if kind.is_dir() { FileKind::Folder } else { FileKind::File }
}

/// Makes a folder that only its owner enters; false if it is there. One that is there must be its owner's, and is closed
/// to others; it may be reached through a link.
pub fn private_dir(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let metadata = std::fs::metadata(path)?;
    match kind_of(&metadata, geteuid().as_raw()) {
        FileKind::Folder => {}
        FileKind::File => return Err(odd("it is a file")),
        FileKind::Odd(why) => return Err(odd(&why)),
    }
    if metadata.mode() & GROUP_OR_OTHERS != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(false)
}

/// Makes a folder, and those above it, for their owner only. Those of root others may pass through, but not list: below
/// them are files of the account that PostgreSQL runs as.
pub fn passable_dirs(path: &Path) -> io::Result<()> {
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Opens a file of our own for reading and writing.
pub fn open(path: &Path) -> io::Result<File> {
    checked(options().open(path))
}

/// The same, and makes it if it is not there. Nothing of it is changed.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    checked(options().create(true).truncate(false).open(path))
}

/// Makes a file that is not there yet.
pub fn create_new(path: &Path) -> io::Result<File> {
    options().create_new(true).open(path)
}

/// Makes a file in the place of whatever has its name, and nothing of what that leads to.
pub fn fresh(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => create_new(path),
    }
}

/// Writes a file in one step: a reader sees what was there before, or all of this. `owner` is who is to have it, if not
/// this process's account.
pub fn replace(path: &Path, bytes: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = Path::new(&new);
    // What is there is from an attempt that was cut short.
    let mut file = fresh(new)?;
    file.write_all(bytes)?;
    if let Some((uid, gid)) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    std::fs::rename(new, path)
}

/// Nothing blocks on what is a pipe after all, and no program that is started inherits it.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    options.read(true).write(true).mode(0o600).custom_flags(flags.bits());
    options
}

/// What was opened is a file of ours, and closed to others.
fn checked(opened: io::Result<File>) -> io::Result<File> {
    let file = opened.map_err(|error| match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::ELOOP) => odd("it is a symbolic link"),
        Some(nix::errno::Errno::EISDIR) => odd("it is a folder"),
        Some(nix::errno::Errno::ENXIO) => odd("it is a named pipe or a socket"),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    let user = geteuid();
    // Root looks at the files of the user that serve runs as.
    let owner = if user.is_root() { metadata.uid() } else { user.as_raw() };
    match kind_of(&metadata, owner) {
        FileKind::File => {}
        FileKind::Folder => return Err(odd("it is a folder")),
        FileKind::Odd(why) => return Err(odd(&why)),
    }
    if metadata.mode() & GROUP_OR_OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn odd(why: &str) -> Error {
    Error::new(io::ErrorKind::InvalidInput, why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).expect("it is there").mode() & 0o777
    }

    #[test]
    fn what_is_not_a_file_of_ours_is_not_opened_and_not_changed() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("target"), "kept").expect("a file");
        symlink(at("target"), at("link")).expect("a link");
        std::fs::create_dir(at("folder")).expect("a folder");
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let _listener = UnixListener::bind(at("socket")).expect("a socket");
        std::fs::write(at("open"), "kept").expect("a file");
        std::fs::set_permissions(at("open"), Permissions::from_mode(0o666)).expect("ours");
        for (name, why) in [
            ("link", "symbolic link"),
            ("folder", "folder"),
            ("pipe", "named pipe"),
            ("socket", "socket"),
            ("open", "mode 0666"),
        ] {
            for opened in [open(&at(name)), open_or_create(&at(name))] {
                let error = opened.expect_err(name).to_string();
                assert!(error.contains(why), "{name}: {error}");
            }
        }
        assert_eq!(std::fs::read(at("target")).expect("a file"), b"kept");
        assert_eq!(std::fs::read(at("open")).expect("a file"), b"kept");
    }

    #[test]
    fn what_is_ours_is_closed_to_others() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let (folder, file) = (dir.path().join("folder"), dir.path().join("folder/file"));
        assert!(private_dir(&folder).expect("made"));
        open_or_create(&file).expect("made");
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("ours");
        std::fs::set_permissions(&file, Permissions::from_mode(0o664)).expect("ours");
        assert!(!private_dir(&folder).expect("there"));
        open(&file).expect("ours");
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("ours");
        assert!(private_dir(&folder).expect_err("anybody's").to_string().contains("mode 0777"));
    }

    #[test]
    fn a_file_is_replaced_and_not_what_a_link_leads_to() {
        let dir = tempfile::tempdir().expect("a temp dir");
        let (target, file) = (dir.path().join("target"), dir.path().join("file"));
        std::fs::write(&target, "kept").expect("a file");
        symlink(&target, &file).expect("a link");
        symlink(&target, dir.path().join("file.new")).expect("a link");
        replace(&file, b"new", None).expect("replaced");
        assert_eq!(std::fs::read(&target).expect("a file"), b"kept");
        assert_eq!((std::fs::read(&file).expect("a file"), mode(&file)), (b"new".to_vec(), 0o600));
    }
}
