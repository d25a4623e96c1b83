//! Reading a segment record by record, in bounded memory, past whatever is damaged.
//!
//! Sequences of a segment are consecutive, and the name of the next segment says where they end: a record at or past
//! that sequence was never acknowledged and is void. What is not a whole record is skipped up to the next place where
//! the segment's marker, a sequence that can stand there and the CRC all fit.

use crc32c::crc32c_append;
use memchr::memmem;

use super::fs::File;
use super::record::{HEAD_BYTES, HEADER_BYTES, Header, HeaderError, RecordHead};
use super::window::{ReadWindow, WINDOW_BYTES};

/// Bytes whose CRC may be computed without a match while looking for the next record of a damaged segment; past it the
/// rest counts as damaged. Only a file made for it comes near.
const VAIN_BYTES_MAX: u64 = 4 << 30;

/// What stands at a place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Record {
        offset: u64,
        head: RecordHead,
    },
    /// Bytes that are no record, up to the next record or to the end.
    Damage {
        from: u64,
        to: u64,
    },
}

/// Goes through the records of a segment.
pub struct SegmentScanner<'a> {
    window: ReadWindow<'a>,
    marker: u64,
    pub offset: u64,
    /// Its sequence, if nothing is missing.
    pub expected: u64,
    /// The sequence at which the segment ends.
    limit: u64,
    vain_bytes: u64,
}

impl<'a> SegmentScanner<'a> {
    /// Begins at the record at `offset`, with sequence `expected`; looks at nothing from byte `end` or sequence
    /// `limit` on.
    pub fn new(file: &'a dyn File, marker: u64, offset: u64, end: u64, expected: u64, limit: u64) -> Self {
        Self { window: ReadWindow::new(file, end), marker, offset, expected, limit, vain_bytes: 0 }
    }

    /// Some bytes could not be read and were taken for zeros.
    pub fn unreadable(&self) -> bool {
        self.window.unreadable
    }

    /// The record at `offset` if there is a whole one with a sequence in `expected..limit` that can stand there.
    fn check(&mut self, offset: u64) -> Option<RecordHead> {
        let head = RecordHead::decode(self.window.look(offset, HEAD_BYTES))?;
        // Records that were lost took room: with fewer bytes lost than records, it is no record of this segment.
        let room = self.expected.saturating_add((offset - self.offset) / HEAD_BYTES as u64);
        let plausible = head.marker == self.marker
            && (self.expected..self.limit).contains(&head.sequence)
            && head.sequence <= room
            && offset.checked_add(head.bytes).is_some_and(|end| end <= self.window.end());
        if !plausible {
            return None;
        }
        let mut crc = head.crc_of_own();
        let (mut at, end) = (offset + HEAD_BYTES as u64, offset + head.bytes);
        while at < end {
            let piece = usize::try_from(end - at).unwrap_or(WINDOW_BYTES);
            let piece = self.window.look(at, piece);
            if piece.is_empty() {
                return None;
            }
            crc = crc32c_append(crc, piece);
            at += piece.len() as u64;
        }
        if crc != head.crc {
            self.vain_bytes += head.bytes;
            return None;
        }
        Some(head)
    }

    /// Where the next whole record behind `self.offset` begins.
    fn resync(&mut self) -> Option<u64> {
        let marker = self.marker.to_le_bytes();
        let finder = memmem::Finder::new(&marker);
        let mut at = self.offset + 1;
        loop {
            let seen = self.window.look(at, WINDOW_BYTES);
            if seen.len() < HEAD_BYTES || self.vain_bytes > VAIN_BYTES_MAX {
                return None;
            }
            match finder.find(seen) {
                Some(found) => {
                    at += found as u64;
                    if self.check(at).is_some() {
                        return Some(at);
                    }
                    at += 1;
                }
                // The marker may begin in the last bytes.
                None => at += (seen.len() - (marker.len() - 1)) as u64,
            }
        }
    }
}

impl Iterator for SegmentScanner<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if self.offset >= self.window.end() || self.expected >= self.limit {
            return None;
        }
        let from = self.offset;
        match self.check(from) {
            Some(head) => {
                self.offset += head.bytes;
                self.expected = head.sequence + 1;
                Some(Found::Record { offset: from, head })
            }
            None => {
                let next = self.resync();
                if let Some(next) = next {
                    // Checked a moment ago; its sequence is where things go on.
                    self.expected = RecordHead::decode(self.window.look(next, HEAD_BYTES))?.sequence;
                }
                self.offset = next.unwrap_or(self.window.end());
                Some(Found::Damage { from, to: self.offset })
            }
        }
    }
}

/// How the beginning of a segment looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// As it was written.
    Whole(Header),
    /// Damaged, but the first record behind it is whole and tells the marker.
    Mended(Header),
    /// Nothing of the file can be read by this version.
    Unreadable(HeaderError),
}

/// Reads the header of the segment whose name says that it begins with `first`.
pub fn beginning(file: &dyn File, first: u64, end: u64) -> Beginning {
    let mut window = ReadWindow::new(file, end);
    let error = match Header::decode(window.look(0, HEADER_BYTES)) {
        Ok(header) if header.first == first => return Beginning::Whole(header),
        Ok(_) => HeaderError::Damaged,
        Err(HeaderError::Version(version)) => return Beginning::Unreadable(HeaderError::Version(version)),
        Err(error) => error,
    };
    let Some(head) = RecordHead::decode(window.look(HEADER_BYTES as u64, HEAD_BYTES)) else {
        return Beginning::Unreadable(error);
    };
    // No sender has a say in what stands at this place, so its marker can be believed if all the rest fits.
    let mut scanner = SegmentScanner::new(file, head.marker, HEADER_BYTES as u64, end, first, first.saturating_add(1));
    if scanner.check(HEADER_BYTES as u64).is_some() {
        Beginning::Mended(Header { first, marker: head.marker, made_us: 0 })
    } else {
        Beginning::Unreadable(error)
    }
}
