//! Requests that were lost to damage, as far as a damaged segment still says which they were.
//!
//! A record whose payload went bad mostly has its head left, and the beginning of its payload: receipt and tenant. They are
//! believed only where both tell the same receipt. Nobody but the spool knows a segment's marker, so that no sender's bytes
//! pass for a head.

use memchr::memmem;

use super::fs::File;
use super::record::{HEAD_BYTES, HEADER_BYTES, RecordHead, RecordType};
use super::request::{SUMMARY_BYTES_MAX, SpooledSummary};
use super::scan::{Beginning, Found, SegmentScanner, beginning};
use super::window::{ReadWindow, WINDOW_BYTES};

/// The requests of a segment's damaged stretches that can be named.
pub fn requests(file: &dyn File, first: u64, bytes: u64) -> Vec<SpooledSummary> {
    let marker = match beginning(file, first, bytes) {
        Beginning::Whole(header) | Beginning::Mended(header) => header.marker,
        Beginning::Unreadable(_) => return Vec::new(),
    };
    let scanner = SegmentScanner::new(file, marker, HEADER_BYTES as u64, bytes, first, u64::MAX);
    let mut lost = Vec::new();
    for found in scanner {
        if let Found::Damage { from, to } = found {
            search(ReadWindow::new(file, to), marker, from, &mut lost);
        }
    }
    lost
}

/// Heads from `at` to the window's end.
fn search(mut window: ReadWindow<'_>, marker: u64, mut at: u64, lost: &mut Vec<SpooledSummary>) {
    let bytes = marker.to_le_bytes();
    let finder = memmem::Finder::new(&bytes);
    loop {
        let seen = window.look(at, WINDOW_BYTES);
        if seen.len() < HEAD_BYTES {
            return;
        }
        let Some(found) = finder.find(seen) else {
            // It may begin in the last bytes.
            at += (seen.len() - (bytes.len() - 1)) as u64;
            continue;
        };
        at += found as u64;
        match named(&mut window, at) {
            Some((summary, length)) => {
                lost.push(summary);
                at += length;
            }
            None => at += 1,
        }
    }
}

/// The request at `at` and its record's length, if all of it lies within the window.
fn named(window: &mut ReadWindow<'_>, at: u64) -> Option<(SpooledSummary, u64)> {
    let head = RecordHead::decode(window.look(at, HEAD_BYTES))?;
    let end = at.checked_add(head.bytes).filter(|end| *end <= window.end())?;
    let payload = at + HEAD_BYTES as u64;
    let beginning = usize::try_from(end - payload).map_or(SUMMARY_BYTES_MAX, |bytes| bytes.min(SUMMARY_BYTES_MAX));
    let summary = SpooledSummary::decode(window.look(payload, beginning)).ok()?;
    let agree = (summary.receipt, summary.items) == (head.meta.receipt, head.meta.items);
    (agree && head.kind == RecordType::Request).then_some((summary, head.bytes))
}
