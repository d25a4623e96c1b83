//! Reading: durable records in their order from where reading stands, and where a receipt is.

use bytes::Bytes;
use uuid::Uuid;

use super::fs::File;
use super::record::{HEAD_BYTES, Meta, RecordHead, Sequence};
use super::scan::{Found, SegmentScanner};
use super::state::{Delivered, Position, Shared};
use super::window::{ReadWindow, read_or_zeros};

#[derive(Debug, Clone)]
pub struct Entry {
    pub sequence: Sequence,
    /// What was said about it when it was appended.
    pub meta: Meta,
    /// When it was appended, in unix microseconds.
    pub appended_us: i64,
    /// The payload; shares its memory with the entries read beside it.
    pub payload: Bytes,
}

/// Records that follow each other without a gap, to be read at once.
struct ReadRun {
    from: u64,
    to: u64,
    heads: Vec<RecordHead>,
}

/// What was seen at the place where reading stands; nothing has moved yet.
pub struct SeenRecord {
    place: Position,
    segment: u64,
    /// The segment was sealed when it was looked at.
    sealed: bool,
    next: Position,
    damage: Option<(u64, u64)>,
    delivered: Vec<Delivered>,
    entries: Vec<Entry>,
}

pub enum Taken {
    Entries(Vec<Entry>),
    /// Look again: something else moved, or this segment is at its end and there is another.
    Again,
    /// Nothing is to be read now.
    Nothing,
}

impl Shared {
    /// Reads up to `bytes_max` of records, but one at least. Blocks on the disk; moves nothing, so that what is read
    /// for a caller that went away is read again. None: there is no segment.
    pub fn look(&self, bytes_max: usize) -> Option<SeenRecord> {
        let (segment, start, place, sealed) = {
            let state = self.lock();
            let (segment, start) = state.segment_at(state.read)?;
            let sealed = state.segments.back().is_some_and(|last| last.first != segment.first);
            (segment.clone(), start, state.read, sealed)
        };
        let (first, file) = (segment.first, &*segment.file);
        let mut scanner =
            SegmentScanner::new(file, segment.marker, start.offset, segment.end, start.sequence, segment.next);
        let (run, damage) = next_run(&mut scanner, bytes_max);
        let mut seen = SeenRecord {
            place,
            segment: first,
            sealed,
            next: Position { first, offset: scanner.offset, sequence: segment.next },
            damage,
            delivered: Vec::new(),
            entries: Vec::new(),
        };
        let Some(run) = run else { return Some(seen) };
        seen.next = Position { first, offset: run.to, sequence: scanner.expected };
        let mut offset = run.from;
        for head in &run.heads {
            let place = Position { first, offset, sequence: head.sequence };
            let (bytes, items, appended_us) = (head.bytes, head.meta.items, head.appended_us);
            seen.delivered.push(Delivered { place, bytes, items, appended_us });
            offset += bytes;
        }
        seen.entries = entries(file, &run);
        Some(seen)
    }

    /// Moves reading behind what was seen, if it still stands where it stood.
    pub fn take(&self, seen: Option<SeenRecord>) -> Taken {
        let Some(seen) = seen else { return Taken::Nothing };
        let mut state = self.lock();
        if state.read != seen.place {
            return Taken::Again;
        }
        if let Some((from, to)) = seen.damage {
            tracing::error!(segment = seen.segment, from, to, "a stretch of the spool cannot be read; passing over it");
            if let Some(segment) = state.segments.iter_mut().find(|segment| segment.first == seen.segment) {
                segment.damaged = true;
            }
        }
        state.read = seen.next;
        if !seen.entries.is_empty() {
            state.delivered.extend(seen.delivered);
            return Taken::Entries(seen.entries);
        }
        if seen.sealed {
            // Later appends go into later segments.
            state.read = Position::behind(seen.segment, seen.next.sequence);
            return Taken::Again;
        }
        Taken::Nothing
    }

    /// Both at once, for the model test: empty when nothing is to be read now.
    #[cfg(test)]
    pub fn read(&self, bytes_max: usize) -> Vec<Entry> {
        loop {
            match self.take(self.look(bytes_max)) {
                Taken::Entries(entries) => return entries,
                Taken::Again => {}
                Taken::Nothing => return Vec::new(),
            }
        }
    }

    /// The first bytes of the payloads of records not drained that have this receipt. Blocks on the disk.
    pub fn with_receipt(&self, receipt: Uuid, payload_bytes_max: usize) -> Vec<Vec<u8>> {
        let (drained, stretches) = {
            let state = self.lock();
            let drained = state.drained();
            let mut stretches = Vec::new();
            for segment in state.segments.iter().filter(|segment| segment.next > drained.sequence) {
                for (from, to) in segment.index.holding(receipt, segment.end) {
                    stretches.push((segment.file.clone(), segment.marker, from, to));
                }
            }
            (drained, stretches)
        };
        let mut found = Vec::new();
        for (file, marker, from, to) in stretches {
            let mut window = ReadWindow::new(&*file, to);
            let mut at = from;
            while at < to {
                // Its CRC was checked when it was written or found; where the chain breaks, the stretch ends.
                let head = RecordHead::decode(window.look(at, HEAD_BYTES)).filter(|head| head.marker == marker);
                let Some(head) = head else { break };
                if head.meta.receipt == receipt && head.sequence >= drained.sequence {
                    let bytes = usize::try_from(head.bytes).expect("bounded by the decoder") - HEAD_BYTES;
                    found.push(window.look(at + HEAD_BYTES as u64, bytes.min(payload_bytes_max)).to_vec());
                }
                at += head.bytes;
            }
        }
        found
    }
}

/// The next records without a gap, and the damage before them.
fn next_run(scanner: &mut SegmentScanner<'_>, bytes_max: usize) -> (Option<ReadRun>, Option<(u64, u64)>) {
    let mut damage = None;
    let mut run: Option<ReadRun> = None;
    loop {
        let before = (scanner.offset, scanner.expected);
        match (scanner.next(), &mut run) {
            (None, _) => return (run, damage),
            (Some(Found::Damage { from, to }), None) => damage = Some((from, to)),
            (Some(Found::Record { offset, head }), None) => {
                run = Some(ReadRun { from: offset, to: offset + head.bytes, heads: vec![head] });
            }
            (Some(Found::Record { head, .. }), Some(run)) if run.to - run.from + head.bytes <= bytes_max as u64 => {
                run.to += head.bytes;
                run.heads.push(head);
            }
            (Some(_), Some(_)) => {
                // For the next run.
                (scanner.offset, scanner.expected) = before;
                return (run, damage);
            }
        }
    }
}

fn entries(file: &dyn File, run: &ReadRun) -> Vec<Entry> {
    let mut bytes = vec![0; usize::try_from(run.to - run.from).expect("bounded by a record or by the reader")];
    read_or_zeros(file, &mut bytes, run.from, &mut false);
    let bytes = Bytes::from(bytes);
    let mut at = 0;
    let cut = run.heads.iter().map(|head| {
        let from = at + HEAD_BYTES;
        at += usize::try_from(head.bytes).expect("bounded by the decoder");
        let (sequence, meta, appended_us) = (head.sequence, head.meta, head.appended_us);
        Entry { sequence, meta, appended_us, payload: bytes.slice(from..at) }
    });
    cut.collect()
}
