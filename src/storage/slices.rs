//! How a relation is cut into chunks: slices of time, each into partitions of space. Pure.
//!
//! A slice is as its chunks are, which may be of another width or number of partitions than new ones get; where there
//! is no chunk, it will be of the interval, or a whole week that is not cut in space where that is old.

use std::collections::BTreeMap;

use crate::limits::PARTITIONS_MAX;

const WEEK_US: i64 = 7 * 86_400_000_000;
/// Hashes of a space dimension go from 0 to this, and are cut into partitions of equal width; the last is wider.
const SPACE_MAX: u32 = i32::MAX as u32;

/// A slice of time, all chunks of which have its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub from_us: i64,
    /// The first microsecond behind it.
    pub to_us: i64,
    /// Into how many partitions of equal width it is cut; None: somebody else cut it, and a row's chunk is not known.
    pub partitions: Option<u32>,
}

/// One chunk, in the order in which every transaction takes chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunk {
    pub from_us: i64,
    pub to_us: i64,
    pub partition: u32,
    /// Of the slice.
    pub partitions: Option<u32>,
}

impl Slice {
    pub fn contains(&self, timestamp_us: i64) -> bool {
        (self.from_us..self.to_us).contains(&timestamp_us)
    }

    /// The chunk of rows with this hash.
    pub fn chunk(&self, space: u32) -> Chunk {
        let partition = self.partitions.map_or(0, |partitions| partition(space, partitions));
        Chunk { from_us: self.from_us, to_us: self.to_us, partition, partitions: self.partitions }
    }
}

impl Chunk {
    pub fn slice(&self) -> Slice {
        Slice { from_us: self.from_us, to_us: self.to_us, partitions: self.partitions }
    }

    /// Its bounds in space, as the catalogue has them.
    pub fn space(&self) -> Option<(i64, i64)> {
        self.partitions.map(|partitions| space_of(self.partition, partitions))
    }
}

/// The partition that a hash of what the relation is partitioned by falls into.
pub fn partition(space: u32, partitions: u32) -> u32 {
    (space / (SPACE_MAX / partitions)).min(partitions - 1)
}

/// The bounds of a partition: the first and the last are open.
fn space_of(partition: u32, partitions: u32) -> (i64, i64) {
    let width = i64::from(SPACE_MAX / partitions);
    let from = if partition == 0 { i64::MIN } else { i64::from(partition) * width };
    let to = if partition + 1 == partitions { i64::MAX } else { (i64::from(partition) + 1) * width };
    (from, to)
}

/// Into how many partitions a slice is cut that has one with these bounds.
fn partitions_of((from, to): (i64, i64)) -> Option<u32> {
    (1..=PARTITIONS_MAX).find(|&partitions| {
        let partition = u32::try_from(from).map_or(0, |from| from / (SPACE_MAX / partitions));
        partition < partitions && space_of(partition, partitions) == (from, to)
    })
}

/// The week around a timestamp, if it may be one slice: wholly older than the newest week that is over, so that live
/// traffic and the days around midnight have slices of the interval.
pub fn old_week(timestamp_us: i64, interval_us: i64, now_us: i64) -> Option<(i64, i64)> {
    let week = |us: i64| us.div_euclid(WEEK_US) * WEEK_US;
    let (from, to) = (week(timestamp_us), week(timestamp_us) + WEEK_US);
    let narrower = interval_us < WEEK_US && WEEK_US % interval_us == 0;
    (narrower && to <= week(now_us) - WEEK_US).then_some((from, to))
}

/// A chunk as the catalogue has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundChunk {
    pub from_us: i64,
    pub to_us: i64,
    /// Its bounds in space; None: it has no such dimension.
    pub space: Option<(i64, i64)>,
}

/// The slices of a relation, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceMap {
    /// Width of a new slice, in microseconds.
    pub interval_us: i64,
    /// Into how many partitions new slices are cut.
    pub partitions: u32,
    /// Whether old weeks without chunks become one slice.
    pub weeks: bool,
    /// Those that have chunks, by their start.
    known: BTreeMap<i64, Slice>,
}

impl SliceMap {
    pub fn new(interval_us: i64, partitions: u32, weeks: bool) -> Self {
        Self { interval_us, partitions, weeks, known: BTreeMap::new() }
    }

    /// The slice around a timestamp: that of the chunks that are there, else the one that will be made.
    pub fn around(&self, timestamp_us: i64, now_us: i64) -> Slice {
        let before = self.known.range(..=timestamp_us).next_back().map(|(_, slice)| *slice);
        if let Some(slice) = before.filter(|slice| slice.contains(timestamp_us)) {
            return slice;
        }
        let week = old_week(timestamp_us, self.interval_us, now_us).filter(|_| self.weeks);
        if let Some((from_us, to_us)) = week.filter(|&(from, to)| self.is_free(from, to)) {
            // One chunk: making one costs more than it saves in a week that few rows come for.
            return Slice { from_us, to_us, partitions: Some(1) };
        }
        let partitions = Some(self.partitions);
        let start = timestamp_us.div_euclid(self.interval_us) * self.interval_us;
        // Clipped where slices of another width are.
        let from_us = before.map_or(start, |before| start.max(before.to_us));
        let end = start + self.interval_us;
        let to_us = self.known.range(timestamp_us..).next().map_or(end, |(next, _)| end.min(*next));
        Slice { from_us, to_us, partitions }
    }

    fn is_free(&self, from_us: i64, to_us: i64) -> bool {
        self.known.range(..to_us).next_back().is_none_or(|(_, slice)| slice.to_us <= from_us)
    }

    /// Whether the database itself would make this chunk as it is planned, on the first row for it.
    pub fn comes_by_itself(&self, chunk: &Chunk) -> bool {
        let there = self.known.contains_key(&chunk.from_us);
        chunk.partitions.is_none_or(|partitions| {
            partitions == self.partitions && (there || chunk.to_us - chunk.from_us <= self.interval_us)
        })
    }

    /// Takes note of a chunk.
    pub fn learn(&mut self, chunk: FoundChunk) {
        let partitions = chunk.space.map_or(Some(1), partitions_of);
        let mut slice = Slice { from_us: chunk.from_us, to_us: chunk.to_us, partitions };
        // Those that it overlaps: the same, or what somebody else has made across it.
        while let Some((&from_us, other)) = self.known.range(..slice.to_us).next_back() {
            if other.to_us <= slice.from_us {
                break;
            }
            let agrees = *other == slice;
            slice = Slice {
                from_us: slice.from_us.min(other.from_us),
                to_us: slice.to_us.max(other.to_us),
                partitions: slice.partitions.filter(|_| agrees),
            };
            self.known.remove(&from_us);
        }
        self.known.insert(slice.from_us, slice);
    }
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
