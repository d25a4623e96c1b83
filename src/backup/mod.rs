//! Backups: made, listed, verified, restored, by schedule and by hand.
//!
//! Of the embedded server a backup is a base backup (`pg_basebackup`), and an archive of its WAL where there is to be one; of an
//! external database a dump (`pg_dump`). A [`folder::Folder`] holds them; each says in its [`manifest::Manifest`] what it is and what
//! a restored database is compared by ([`contents::Contents`]).

mod base;
mod contents;
mod create;
mod dump;
mod folder;
mod made;
mod manifest;
mod restore;
mod schedule;
mod source;
mod verify;
mod wal;

pub use contents::{Contents, Difference};
pub use create::create;
pub use dump::restore_dump;
pub use folder::{Backup, Folder, Hold, Unreadable};
pub use manifest::{Kind, Manifest, Verified};
pub use restore::{Moment, Restored, restore_base};
pub use schedule::{Schedule, prune};
pub use source::Source;
pub use verify::{Found, verify};
