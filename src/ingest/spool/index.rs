//! Which receipts are where in a segment, coarsely: the lowest and the highest of each stretch of records.
//!
//! Receipts are UUIDs of version 7 and ascend nearly as their records do, so that one lies in few stretches. A segment
//! of 64 MiB has at most 256 of them, 48 bytes each, however many records it holds.

use uuid::Uuid;

/// A stretch is closed by the first record that begins so many bytes after its own first.
const STRETCH_BYTES: u64 = 256 * 1024;

#[derive(Debug, Clone, Copy)]
struct Stretch {
    offset: u64,
    appended_us: i64,
    lowest: Uuid,
    highest: Uuid,
}

/// The stretches of a segment, in their order.
#[derive(Debug, Clone, Default)]
pub struct Index(Vec<Stretch>);

impl Index {
    /// Adds the record at `offset`, which lies behind all that were added.
    pub fn add(&mut self, offset: u64, appended_us: i64, receipt: Uuid) {
        match self.0.last_mut() {
            Some(last) if offset - last.offset < STRETCH_BYTES => {
                last.lowest = last.lowest.min(receipt);
                last.highest = last.highest.max(receipt);
            }
            _ => self.0.push(Stretch { offset, appended_us, lowest: receipt, highest: receipt }),
        }
    }

    /// The stretches, as bytes from and to, that may hold a receipt, in a segment that ends at `end`.
    pub fn holding(&self, receipt: Uuid, end: u64) -> Vec<(u64, u64)> {
        let ends = self.0.iter().skip(1).map(|next| next.offset).chain([end]);
        let stretches = self.0.iter().zip(ends);
        stretches
            .filter(|(stretch, _)| (stretch.lowest..=stretch.highest).contains(&receipt))
            .map(|(stretch, end)| (stretch.offset, end))
            .collect()
    }

    /// When the first record of the stretch with the byte `offset` was appended, in unix microseconds.
    pub fn appended_us(&self, offset: u64) -> Option<i64> {
        let behind = self.0.partition_point(|stretch| stretch.offset <= offset);
        self.0.get(behind.saturating_sub(1)).map(|stretch| stretch.appended_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_in_the_stretches_whose_bounds_hold_it() {
        let mut index = Index::default();
        for n in 0..10 {
            index.add(40 + n * 100_000, i64::try_from(n).expect("small"), Uuid::from_u128(u128::from(n)));
        }
        // Three records a stretch: each begins 300,000 bytes after the last.
        assert_eq!(index.holding(Uuid::from_u128(4), 1_000_040), [(300_040, 600_040)]);
        assert_eq!(index.holding(Uuid::from_u128(9), 1_000_040), [(900_040, 1_000_040)]);
        assert_eq!(index.holding(Uuid::from_u128(10), 1_000_040), []);
        assert_eq!(index.appended_us(40), Some(0));
        assert_eq!(index.appended_us(600_039), Some(3));
        assert_eq!(Index::default().appended_us(40), None);
    }
}
