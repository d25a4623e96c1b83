//! Looking at a spool's folder without changing it: which segments there are, what is whole in them, and where the
//! cursor stands. Recovery acts on it; `tidegate doctor` only shows it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::cursor::{CURSOR_FILE, Cursor, Saved};
use super::fs::{File, Fs, Listed};
use super::index::Index;
use super::memory::InMemory;
use super::record::{HEAD_BYTES, HEADER_BYTES, RecordHead, first_of_name, segment_name};
use super::scan::{Beginning, Found, SegmentScanner, beginning};
use super::state::{Position, Segment, Totals};
use super::window::read_or_zeros;
use crate::files::FileKind;

/// Folder of what was set aside, within the spool's.
pub const QUARANTINE: &str = "quarantine";
/// Folders of what is to be sent again, or dropped, out of the quarantine.
pub const RESEND: &str = "resend";
pub const DROP: &str = "drop";

/// Files and folders beside the segments.
const FILES: [&str; 2] = ["lock", CURSOR_FILE];
const FOLDERS: [&str; 3] = [QUARANTINE, RESEND, DROP];

/// Whether a name can only have been given by a spool.
fn is_ours(name: &str) -> bool {
    name.ends_with(".seg") || FILES.contains(&name) || FOLDERS.contains(&name)
}

/// A segment as it was found.
pub struct Surveyed {
    pub segment: Segment,
    /// Its first record that is not drained.
    pub undrained_from: Option<Position>,
    /// When that one was appended, in unix microseconds.
    pub oldest_us: Option<i64>,
    pub undrained: Totals,
    /// Stretches that are no records, and were not left by a write that was cut short.
    pub damage: Vec<(u64, u64)>,
    /// Why none of it can be read.
    pub unreadable: Option<String>,
    /// Bytes behind the last record, never acknowledged.
    pub torn_bytes: u64,
}

impl Surveyed {
    fn of(segment: Segment) -> Self {
        let (undrained_from, undrained, damage) = (None, Totals::default(), Vec::new());
        Self { segment, undrained_from, oldest_us: None, undrained, damage, unreadable: None, torn_bytes: 0 }
    }

    fn unreadable(first: u64, bytes: u64, reason: String) -> Self {
        let segment = Segment { damaged: true, ..passed(first, bytes, first) };
        Self { unreadable: Some(reason), ..Self::of(segment) }
    }

    /// Records at its end were damaged: how many, nobody knows.
    fn lost_its_end(&self) -> bool {
        self.unreadable.is_some() || self.damage.last().is_some_and(|(_, to)| *to >= self.segment.disk_bytes)
    }
}

/// A spool as it was found.
pub struct Survey {
    pub segments: Vec<Surveyed>,
    /// Segments that the cursor has passed, oldest first; they were not read.
    pub drained: Vec<Segment>,
    pub cursor: Cursor,
    pub saved: Saved,
    /// The sequence of the next append.
    pub next: u64,
    /// Places where sequences are missing between segments.
    pub gaps: u64,
    /// Files that do not belong to the spool.
    pub strangers: Vec<String>,
    /// What has a name of the spool's and is not what that name says, and why: it may hold, or may have held, what was
    /// acknowledged.
    pub odd: Vec<(String, String)>,
}

/// Looks at the spool in `dir`. Reads every segment that is not drained, in bounded memory.
pub fn survey(fs: &dyn Fs, dir: &Path) -> io::Result<Survey> {
    let (cursor, saved) = Cursor::read(fs, dir);
    let drained_to = if let Saved::At(next) = saved { next } else { 0 };
    let (mut names, mut strangers, mut odd) = (Vec::new(), Vec::new(), Vec::new());
    for Listed { name, bytes, kind } in fs.list(dir)? {
        match (first_of_name(&name), kind) {
            (Some(first), FileKind::File) => names.push((first, bytes)),
            (None, FileKind::Folder) if FOLDERS.contains(&name.as_str()) => {}
            (None, FileKind::File) if name.ends_with(".tmp") || FILES.contains(&name.as_str()) => {}
            (None, _) if !is_ours(&name) => strangers.push(name),
            (None, FileKind::File) => odd.push((name, "it is a file, and no segment has such a name".to_owned())),
            (_, FileKind::Folder) => odd.push((name, "it is a folder".to_owned())),
            (_, FileKind::Odd(why)) => odd.push((name, why)),
        }
    }
    names.sort_unstable();
    // Where a segment ends the next one begins: what the next one's name does not leave room for is void.
    let limits = names.iter().skip(1).map(|(first, _)| *first).chain([u64::MAX]);
    let listed: Vec<_> = names.iter().copied().zip(limits).collect();
    let (mut drained, mut segments, mut gaps) = (Vec::new(), Vec::<Surveyed>::new(), 0);
    for ((first, bytes), limit) in listed {
        if limit != u64::MAX && limit <= drained_to {
            drained.push(passed(first, bytes, limit));
            continue;
        }
        let surveyed = match fs.open(&dir.join(segment_name(first))).and_then(|file| Ok((file.bytes()?, file))) {
            Ok((bytes, file)) => survey_file(file, first, bytes, limit, drained_to),
            // Drained by the process that is being looked at.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Surveyed::unreadable(first, bytes, error.to_string()),
        };
        // What is missing behind a damaged end is not a segment; and without a cursor nobody knows what came first.
        gaps += u64::from(match segments.last() {
            Some(last) => first > last.segment.next && !last.lost_its_end(),
            None => first > drained_to && drained_to > 0,
        });
        segments.push(surveyed);
    }
    let last = segments.last().map_or(1, |last| match last.lost_its_end() {
        false => last.segment.next,
        // However many records were lost there: none of their sequences, and not the file's name, is used again.
        true => last.segment.next.saturating_add(last.segment.disk_bytes / HEAD_BYTES as u64 + 1),
    });
    let next = last.max(drained_to).max(1);
    Ok(Survey { segments, drained, cursor, saved, next, gaps, strangers, odd })
}

/// Looks at a segment's file of so many bytes, whose successor's first sequence is `limit`.
pub fn survey_file(file: Arc<dyn File>, first: u64, bytes: u64, limit: u64, drained_to: u64) -> Surveyed {
    let mut surveyed = Surveyed::of(Segment { file: Arc::clone(&file), ..passed(first, bytes, first) });
    let header = match beginning(&*file, first, bytes) {
        Beginning::Whole(header) => header,
        Beginning::Mended(header) => {
            surveyed.damage.push((0, HEADER_BYTES as u64));
            header
        }
        Beginning::Unreadable(error) => {
            surveyed.unreadable = Some(error.to_string());
            surveyed.segment.damaged = true;
            return surveyed;
        }
    };
    (surveyed.segment.marker, surveyed.segment.made_us) = (header.marker, header.made_us);
    read_through(&mut surveyed, limit, drained_to);
    surveyed.segment.damaged = !surveyed.damage.is_empty();
    surveyed
}

fn read_through(surveyed: &mut Surveyed, limit: u64, drained_to: u64) {
    let Surveyed { segment, undrained_from, oldest_us, undrained, damage, torn_bytes, .. } = surveyed;
    let bytes = segment.disk_bytes;
    let file = Arc::clone(&segment.file);
    let mut scanner = SegmentScanner::new(&*file, segment.marker, HEADER_BYTES as u64, bytes, segment.first, limit);
    while let Some(found) = scanner.next() {
        match found {
            Found::Damage { from, to } => damage.push((from, to)),
            Found::Record { offset, head } => {
                segment.index.add(offset, head.appended_us, head.meta.receipt);
                segment.end = scanner.offset;
                segment.next = scanner.expected;
                if head.sequence >= drained_to {
                    let place = Position { first: segment.first, offset, sequence: head.sequence };
                    undrained_from.get_or_insert(place);
                    oldest_us.get_or_insert(head.appended_us);
                    *undrained += Totals { records: 1, items: head.meta.items.into(), bytes: head.bytes };
                }
            }
        }
    }
    // In the last segment, what follows the last whole record was being written when the process or machine died: its
    // senders were never told that it is safe. A record that is there in its whole length may have been acknowledged and
    // gone bad since: that is damage, though a power cut may have left it so as well.
    if limit == u64::MAX
        && !scanner.unreadable()
        && let Some((from, to)) = damage.last().copied().filter(|(_, to)| *to == bytes)
        && !is_of_whole_length(&*file, segment.marker, from, to)
    {
        damage.pop();
        *torn_bytes = to - from;
    }
}

/// Whether the head at `from` is one of this segment's, and all that it promises lies before `to`.
fn is_of_whole_length(file: &dyn File, marker: u64, from: u64, to: u64) -> bool {
    let mut head = [0; HEAD_BYTES];
    read_or_zeros(file, &mut head, from, &mut false);
    RecordHead::decode(&head).is_some_and(|head| head.marker == marker && head.bytes <= to - from)
}

/// A segment without records, as far as is known.
fn passed(first: u64, disk_bytes: u64, next: u64) -> Segment {
    let (file, end, index) = (Arc::new(InMemory::default()), HEADER_BYTES as u64, Index::default());
    Segment { first, file, marker: 0, made_us: 0, end, next, disk_bytes, index, damaged: false }
}
