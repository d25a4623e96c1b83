//! Why a line cannot be read.

/// What is wrong, and at which byte of the body.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub at: usize,
    pub what: &'static str,
}

impl Fault {
    pub fn new(at: usize, what: &'static str) -> Self {
        Self { at, what }
    }
}
