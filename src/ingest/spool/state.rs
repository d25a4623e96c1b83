//! What the writing thread and the readers of a spool share: its segments, how far they are durable, how far they are
//! read, and how far they are drained.

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use super::fs::File;
use super::index::Index;
use super::record::{HEAD_BYTES, HEADER_BYTES, RecordHead};

/// A segment, as far as it is durable.
#[derive(Clone)]
pub struct Segment {
    /// Its file's name, and the sequence of its first record.
    pub first: u64,
    pub file: Arc<dyn File>,
    pub marker: u64,
    pub made_us: i64,
    /// Where its durable records end; what lies behind is never read.
    pub end: u64,
    /// The sequence behind its last durable record.
    pub next: u64,
    /// Bytes of its file on disk.
    pub disk_bytes: u64,
    pub index: Index,
    /// Some of it cannot be read: it goes into the quarantine and not away.
    pub damaged: bool,
}

impl Segment {
    /// When the record at `offset` was appended, in unix microseconds.
    fn appended_us(&self, offset: u64) -> Option<i64> {
        let mut head = [0; HEAD_BYTES];
        let read = self.file.read_at(&mut head, offset).is_ok_and(|bytes| bytes == HEAD_BYTES);
        let head = RecordHead::decode(&head).filter(|head| read && head.marker == self.marker);
        head.map(|head| head.appended_us).or_else(|| self.index.appended_us(offset))
    }
}

/// A place in the spool: in which segment, at which byte, and which sequence is there or next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub first: u64,
    pub offset: u64,
    pub sequence: u64,
}

impl Position {
    /// The beginning of whatever segment comes after this one.
    pub fn behind(segment: u64, sequence: u64) -> Self {
        Self { first: segment + 1, offset: HEADER_BYTES as u64, sequence }
    }
}

/// A record that was read and is not acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Delivered {
    pub place: Position,
    pub bytes: u64,
    pub items: u32,
    pub appended_us: i64,
}

/// Records, their items and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub records: u64,
    pub items: u64,
    /// Their bytes in segments.
    pub bytes: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.items += other.items;
        self.bytes += other.bytes;
    }
}

/// Files of the quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quarantined {
    pub files: u64,
    pub bytes: u64,
}

pub struct SpoolState {
    /// Oldest first; the last may be the one that is written to.
    pub segments: VecDeque<Segment>,
    /// The sequence of the next append.
    pub next: u64,
    pub read: Position,
    pub delivered: VecDeque<Delivered>,
    /// Durable and not drained.
    pub undrained: Totals,
    pub quarantined: Quarantined,
    pub closed: bool,
}

impl SpoolState {
    pub fn drained(&self) -> Position {
        self.delivered.front().map_or(self.read, |delivered| delivered.place)
    }

    /// Bytes of all segments on disk.
    pub fn disk_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.disk_bytes).sum()
    }

    /// Nothing is left to drain.
    pub fn is_drained(&self) -> bool {
        self.drained().sequence >= self.next
    }

    /// Everything up to `through` is drained. False: it was not even read.
    pub fn acknowledge(&mut self, through: u64) -> bool {
        if through >= self.read.sequence {
            return false;
        }
        while self.delivered.front().is_some_and(|delivered| delivered.place.sequence <= through) {
            let delivered = self.delivered.pop_front().expect("there is one in front");
            self.undrained.records = self.undrained.records.saturating_sub(1);
            self.undrained.items = self.undrained.items.saturating_sub(delivered.items.into());
            self.undrained.bytes = self.undrained.bytes.saturating_sub(delivered.bytes);
        }
        if self.is_drained() {
            // Records that turned out unreadable after they were counted.
            self.undrained = Totals::default();
        }
        true
    }

    /// The segment that holds the place, or the first behind it, with the place moved there.
    pub fn segment_at(&self, place: Position) -> Option<(&Segment, Position)> {
        let at = self.segments.partition_point(|segment| segment.first < place.first);
        let segment = self.segments.get(at)?;
        // What was lost before it leaves a gap in the sequences.
        let sequence = place.sequence.max(segment.first);
        let offset = if segment.first == place.first { place.offset } else { HEADER_BYTES as u64 };
        Some((segment, Position { first: segment.first, offset, sequence }))
    }

    /// When the oldest record not drained was appended, in unix microseconds; if it cannot be read, when one shortly before it was.
    pub fn oldest_us(&self) -> Option<i64> {
        if let Some(delivered) = self.delivered.front() {
            return Some(delivered.appended_us);
        }
        let mut place = self.read;
        loop {
            let (segment, at) = self.segment_at(place)?;
            if at.offset < segment.end {
                return segment.appended_us(at.offset);
            }
            place = Position::behind(segment.first, segment.next);
        }
    }
}

/// The state, and a signal that it changed.
pub struct Shared {
    state: Mutex<SpoolState>,
    pub changed: watch::Sender<u64>,
}

impl Shared {
    pub fn new(state: SpoolState) -> Self {
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    pub fn lock(&self) -> MutexGuard<'_, SpoolState> {
        self.state.lock().expect("no code panics while holding it")
    }

    /// Wakes who waits for something to read.
    pub fn announce(&self) {
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }
}
