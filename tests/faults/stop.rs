//! The signal by which senders and readers end, and which they wait for between two requests.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

#[derive(Default)]
pub struct Stop {
    is_told: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    pub fn tell(&self) {
        *self.is_told.lock().unwrap() = true;
        self.told.notify_all();
    }

    pub fn is_told(&self) -> bool {
        *self.is_told.lock().unwrap()
    }

    /// Whether it is told within so long: the pace of one that goes on otherwise.
    pub fn within(&self, pace: Duration) -> bool {
        *self.told.wait_timeout_while(self.is_told.lock().unwrap(), pace, |is_told| !*is_told).unwrap().0
    }
}
