//! The byte budget of all requests held at once: taken before bytes are read, given back when the answer is out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may still be taken, shared by all requests.
#[derive(Debug)]
pub struct Budget {
    free: AtomicUsize,
    total: usize,
}

/// Bytes taken; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(bytes), total: bytes })
    }

    /// Takes `bytes`, or nothing when there are not that many.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let taken =
            self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes)).is_ok();
        taken.then(|| Reservation { budget: Arc::clone(self), bytes })
    }

    /// Bytes taken at the moment.
    pub fn used(&self) -> usize {
        self.total - self.free.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// Takes more, up to `bytes` in all; false when the budget does not hold it.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return true };
        match self.budget.reserve(more) {
            None => false,
            Some(mut extra) => {
                // The bytes now belong to this reservation; the empty one gives back nothing.
                extra.bytes = 0;
                self.bytes = bytes;
                true
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(100);
        let mut first = budget.reserve(60).expect("there is room");
        assert!(budget.reserve(50).is_none());
        assert!(first.grow_to(100) && !first.grow_to(101) && first.grow_to(10));
        assert_eq!(budget.used(), 100);
        drop(first);
        assert_eq!(budget.used(), 0);
    }
}
