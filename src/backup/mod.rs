//! Backups: made, listed, verified, restored, by schedule and by hand.
//!
//! Of the embedded server a backup is a base backup (`pg_basebackup`), and an archive of its WAL where there is to be one; of an
//! external database a dump (`pg_dump`). A [`folder::Folder`] holds them; each says in its [`manifest::Manifest`] what it is and what
//! a restored database is compared by ([`contents::Contents`]). By the same means an embedded database goes to another server
//! ([`transfer::transfer`]).

mod base;
mod contents;
mod create;
mod dump;
mod folder;
mod made;
mod manifest;
mod owner;
mod renew;
mod restore;
mod roles;
mod schedule;
mod source;
mod transfer;
mod verify;
mod wal;

pub use contents::{Contents, Difference};
pub use create::create;
pub use dump::restore_dump;
pub use folder::{Backup, Folder, Hold, Unreadable};
pub use manifest::{Kind, Manifest, Verified};
pub use renew::{Renewed, renew};
pub use restore::{Moment, Restored, restore_base};
pub use roles::Roles;
pub use schedule::{Schedule, prune};
pub use source::Source;
pub use transfer::{Target, Transferred, transfer};
pub use verify::{Found, require_undamaged, verify};
