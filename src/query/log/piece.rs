//! What was read of a log at once: the events of a stretch, or those of some types, in the order of the log.

use std::ops::Range;

use super::amount::Look;
use super::batches::{LoggedBatch, Stretch};
use super::logged::LoggedEvent;

#[derive(Debug)]
pub struct Piece {
    pub from: i64,
    pub to: i64,
    /// All that are wanted of the stretch, by offset.
    events: Vec<LoggedEvent>,
    /// Those that the stretch lies in.
    batches: Vec<LoggedBatch>,
    /// What it takes in memory.
    pub bytes: usize,
    /// How it was had; None: there was nothing to look for.
    pub look: Option<Look>,
}

impl Piece {
    pub fn new(stretch: &Stretch<'_>, mut events: Vec<LoggedEvent>) -> Self {
        events.sort_unstable_by_key(|event| event.offset);
        let batches = stretch.batches().to_vec();
        let of_events: usize = events.iter().map(|event| event.bytes() + size_of::<LoggedEvent>()).sum();
        let bytes = size_of::<Self>() + of_events + size_of_val(batches.as_slice());
        Self { from: stretch.from, to: stretch.to, events, batches, bytes, look: None }
    }

    /// Its events with these offsets.
    pub fn within(&self, offsets: Range<i64>) -> &[LoggedEvent] {
        let at = |offset| self.events.partition_point(|event| event.offset < offset);
        &self.events[at(offsets.start)..at(offsets.end).max(at(offsets.start))]
    }

    /// Whether the log is still as it was where both are: another copy of the database may have other batches there.
    pub fn is_of(&self, stretch: &Stretch<'_>) -> bool {
        let both = self.from.max(stretch.from)..self.to.min(stretch.to);
        let in_both = |batch: &&LoggedBatch| batch.base < both.end && batch.end() > both.start;
        self.batches.iter().filter(in_both).eq(stretch.batches().iter().filter(in_both))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn batch(base: i64, span: i64, batch_id: i64) -> LoggedBatch {
        let at = Timestamp::UNIX_EPOCH;
        LoggedBatch { base, span, batch_id, events: span, oldest: at, newest: at }
    }

    #[test]
    fn a_piece_is_of_a_log_with_the_same_batches() {
        let log = [batch(0, 10, 1), batch(10, 5, 2), batch(15, 10, 3)];
        let piece = Piece::new(&Stretch::of(&log, 3, 14), Vec::new());
        assert_eq!((piece.from, piece.to), (3, 17));
        assert!(piece.is_of(&Stretch::of(&log, 0, 25)) && piece.is_of(&Stretch::of(&log[1..], 12, 1)));
        // Another copy went on differently from offset 10 on.
        for other in [batch(10, 5, 4), batch(10, 6, 2)] {
            let log = [log[0], other, batch(10 + other.span, 9, 5)];
            assert!(piece.is_of(&Stretch::of(&log, 0, 10)), "what lies before is the same");
            assert!(!piece.is_of(&Stretch::of(&log, 0, 12)) && !piece.is_of(&Stretch::of(&log[1..], 11, 1)));
        }
    }

    #[test]
    fn events_are_found_by_their_offsets() {
        let log = [batch(0, 10, 1)];
        let events = [7, 2, 5].map(|offset| LoggedEvent::example(offset, 1, 100)).to_vec();
        let piece = Piece::new(&Stretch::of(&log, 0, 10), events);
        let within = |range| piece.within(range).iter().map(|event| event.offset).collect::<Vec<_>>();
        assert_eq!([within(0..10), within(2..5), within(3..5)], [vec![2, 5, 7], vec![2], vec![]]);
        assert!(within(Range { start: 8, end: 3 }).is_empty() && piece.bytes > 300);
    }
}
