//! The cursor: the sequence of the first record that is not known to be drained.
//!
//! Two slots in one file, written in turn, each with its own CRC: a torn write leaves the other one, which is older by
//! one step, and what is replayed because of that the ledger knows. The file is made under another name, synced and
//! renamed; afterwards a slot is overwritten in place, because that takes no room: a full disk must not keep the spool
//! from being drained and so from making room. After a failed sync the file is not synced again but replaced.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32c::crc32c;

use super::fs::{File, Fs};
use super::window::read_or_zeros;

/// Its name in the spool's folder.
pub const CURSOR_FILE: &str = "cursor";
const MAGIC: &[u8; 8] = b"TGCURSOR";
const SLOT_BYTES: usize = 28;
/// The slots are on pages of their own.
const SLOT_OFFSETS: [u64; 2] = [0, 4096];
const FILE_BYTES: usize = 4096 + SLOT_BYTES;

/// The cursor as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// There is no file.
    Missing,
    /// There is one, but no slot is whole.
    Corrupt,
    /// The first sequence not known to be drained.
    At(u64),
}

/// The file to save it in.
pub struct Cursor {
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    /// Which save this was; the higher one of the two slots counts.
    generation: u64,
    slot: usize,
    next: u64,
    /// What was read is durable. Before that is known, the other slot must not be overwritten: an earlier process may
    /// have died, or failed to sync, after it wrote this one.
    confirmed: bool,
}

impl Cursor {
    /// Reads the cursor of a spool.
    pub fn read(fs: &dyn Fs, dir: &Path) -> (Self, Saved) {
        let path = dir.join(CURSOR_FILE);
        let mut cursor = Self { path, file: None, generation: 0, slot: 0, next: 0, confirmed: true };
        let file = match fs.open(&cursor.path) {
            Ok(file) => file,
            Err(error) => {
                let missing = error.kind() == io::ErrorKind::NotFound;
                let saved = if missing { Saved::Missing } else { Saved::Corrupt };
                return (cursor, saved);
            }
        };
        let slots = SLOT_OFFSETS.map(|offset| {
            let mut bytes = [0; SLOT_BYTES];
            read_or_zeros(&*file, &mut bytes, offset, &mut false);
            decode(&bytes)
        });
        let newest = (0..2).filter_map(|slot| slots[slot].map(|(generation, next)| (generation, next, slot))).max();
        let Some((generation, next, slot)) = newest else { return (cursor, Saved::Corrupt) };
        cursor = Self { path: cursor.path, file: Some(file), generation, slot, next, confirmed: false };
        (cursor, Saved::At(next))
    }

    /// What is on disk may not be there after a loss of power.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Saves `next` durably.
    pub fn save(&mut self, fs: &dyn Fs, next: u64) -> io::Result<()> {
        if let Some(file) = self.file.clone() {
            match self.save_in_place(fs, &*file, next) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "the spool's cursor could not be saved in place; making a new file");
                    self.file = None;
                }
            }
        }
        // Higher than whatever the failed write may have left in the file that is replaced.
        self.generation += 2;
        self.file = Some(self.replace(fs, next)?);
        (self.slot, self.next, self.confirmed) = (0, next, true);
        Ok(())
    }

    fn save_in_place(&mut self, fs: &dyn Fs, file: &dyn File, next: u64) -> io::Result<()> {
        if !self.confirmed {
            write(file, &encode(self.generation, self.next), SLOT_OFFSETS[self.slot])?;
            fs.sync_dir(self.dir())?;
            self.confirmed = true;
        }
        if next != self.next {
            let slot = 1 - self.slot;
            write(file, &encode(self.generation + 1, next), SLOT_OFFSETS[slot])?;
            (self.generation, self.slot, self.next) = (self.generation + 1, slot, next);
        }
        Ok(())
    }

    fn dir(&self) -> &Path {
        self.path.parent().expect("it is in the spool's folder")
    }

    fn replace(&self, fs: &dyn Fs, next: u64) -> io::Result<Arc<dyn File>> {
        let new = self.path.with_extension("tmp");
        // From a replacement that failed or was cut short.
        let _ = fs.unlink(&new);
        let file = fs.create_new(&new)?;
        let mut bytes = [0; FILE_BYTES];
        bytes[..SLOT_BYTES].copy_from_slice(&encode(self.generation, next));
        write(&*file, &bytes, 0)?;
        fs.rename(&new, &self.path)?;
        fs.sync_dir(self.dir())?;
        Ok(file)
    }
}

fn write(file: &dyn File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_at(&mut [IoSlice::new(bytes)], offset)?;
    file.sync()
}

fn encode(generation: u64, next: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&generation.to_le_bytes());
    bytes[16..24].copy_from_slice(&next.to_le_bytes());
    let crc = crc32c(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<(u64, u64)> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let crc = u32::from_le_bytes(bytes[24..].try_into().expect("4 bytes"));
    (&bytes[..8] == MAGIC && crc == crc32c(&bytes[..24])).then(|| (number(8), number(16)))
}
