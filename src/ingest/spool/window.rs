//! A file seen through one buffer of bounded size. What cannot be read looks like zeros, so that a bad sector costs
//! the records on it and not the start of the process.

use super::fs::File;

pub const WINDOW_BYTES: usize = 256 * 1024;
/// What is read one by one where a larger read fails.
const PAGE_BYTES: u64 = 4096;
/// A read is tried so often before its bytes count as unreadable.
const ATTEMPTS: usize = 3;

/// The window; it moves where it is asked to look.
pub struct ReadWindow<'a> {
    file: &'a dyn File,
    /// Nothing behind this is looked at.
    end: u64,
    at: u64,
    buffer: Vec<u8>,
    /// Some bytes could not be read.
    pub unreadable: bool,
}

impl<'a> ReadWindow<'a> {
    pub fn new(file: &'a dyn File, end: u64) -> Self {
        Self { file, end, at: 0, buffer: Vec::new(), unreadable: false }
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Up to `bytes` at `offset`; fewer at the end, and never more than [`WINDOW_BYTES`].
    pub fn look(&mut self, offset: u64, bytes: usize) -> &[u8] {
        let bytes = (bytes.min(WINDOW_BYTES) as u64).min(self.end.saturating_sub(offset));
        let held = self.at..=self.at + self.buffer.len() as u64;
        if !(held.contains(&offset) && held.contains(&(offset + bytes))) {
            let wanted = (WINDOW_BYTES as u64).min(self.end.saturating_sub(offset));
            self.buffer.resize(index(wanted), 0);
            self.at = offset;
            let filled = read_or_zeros(self.file, &mut self.buffer, offset, &mut self.unreadable);
            self.buffer.truncate(filled);
        }
        let from = index(offset - self.at);
        let to = index(offset + bytes - self.at).min(self.buffer.len());
        &self.buffer[from.min(to)..to]
    }
}

/// Reads up to the buffer's length; pages that cannot be read are zeros. Returns how far the file goes.
pub fn read_or_zeros(file: &dyn File, buffer: &mut [u8], offset: u64, unreadable: &mut bool) -> usize {
    if let Some(read) = attempt(file, buffer, offset) {
        return read;
    }
    let mut filled = 0;
    while filled < buffer.len() {
        let at = offset + filled as u64;
        let page = index(PAGE_BYTES - at % PAGE_BYTES).min(buffer.len() - filled);
        let page = &mut buffer[filled..filled + page];
        match attempt(file, page, at) {
            Some(read) if read < page.len() => return filled + read,
            Some(_) => {}
            None => {
                *unreadable = true;
                page.fill(0);
            }
        }
        filled += page.len();
    }
    filled
}

fn attempt(file: &dyn File, buffer: &mut [u8], offset: u64) -> Option<usize> {
    (0..ATTEMPTS).find_map(|_| file.read_at(buffer, offset).ok())
}

fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("bounded by a buffer's length")
}
