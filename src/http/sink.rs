//! Where a body's bytes go while they are decompressed: a buffer that never grows past its limit or the budget.

use std::io::{self, Write};

use bytes::Bytes;

use crate::budget::{NoRoom, Reservation};

/// Why the buffer took no more.
#[derive(Clone, Copy)]
pub enum Refused {
    TooLarge,
    /// The budget of all requests, or the tenant's share of it.
    NoMemory(NoRoom),
}

/// Where decompressed bytes go.
pub struct BodySink {
    pub bytes: Vec<u8>,
    pub bytes_max: usize,
    pub reservation: Reservation,
    pub refused: Option<Refused>,
}

impl BodySink {
    /// A buffer with room for `first` bytes, which `reservation` holds.
    pub fn new(first: usize, bytes_max: usize, reservation: Reservation) -> Self {
        Self { bytes: Vec::with_capacity(first), bytes_max, reservation, refused: None }
    }

    /// What came in, and its hold on the budget.
    pub fn into_parts(self) -> (Bytes, Reservation) {
        (self.bytes.into(), self.reservation)
    }
}

impl Write for BodySink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let size = self.bytes.len() + data.len();
        if size > self.bytes_max {
            self.refused = Some(Refused::TooLarge);
        } else if size > self.bytes.capacity() {
            // Grown by doubling, so that the budget knows of the capacity and not only of what is filled.
            let capacity = size.max(2 * self.bytes.capacity()).min(self.bytes_max);
            match self.reservation.grow_to(capacity) {
                Ok(()) => self.bytes.reserve_exact(capacity - self.bytes.len()),
                Err(no_room) => self.refused = Some(Refused::NoMemory(no_room)),
            }
        }
        if self.refused.is_some() {
            return Err(io::Error::other("refused"));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why there is no whole body.
pub enum Unfinished {
    Refused(Refused),
    Broken(io::Error),
}

impl From<io::Error> for Unfinished {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}
