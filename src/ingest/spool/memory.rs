//! A file in memory, which can only be read: bytes to be recovered, and the place of a file that need not be opened.

use std::io::{Error, ErrorKind, IoSlice, Result};

use super::fs::File;

/// A file that can only be read.
#[derive(Default)]
pub struct InMemory(pub Vec<u8>);

impl File for InMemory {
    fn write_at(&self, _: &mut [IoSlice<'_>], _: u64) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|from| self.0.get(from..)).unwrap_or_default();
        let read = buffer.len().min(rest.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn sync(&self) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    fn truncate(&self, _: u64) -> Result<()> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    fn bytes(&self) -> Result<u64> {
        Ok(self.0.len() as u64)
    }
}
