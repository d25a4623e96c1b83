//! deflate in the zlib format (RFC 1950) while it comes in: one stream, and nothing behind it.

use std::io::{self, Write};

use flate2::{Decompress, FlushDecompress, Status};

use crate::limits::KIB;

/// What one step of inflate may put out.
const STEP_BYTES: usize = 64 * KIB;

pub struct ZlibDecoder<W> {
    inflate: Decompress,
    step: Vec<u8>,
    ended: bool,
    sink: W,
}

impl<W: Write> ZlibDecoder<W> {
    pub fn new(sink: W) -> Self {
        Self { inflate: Decompress::new(true), step: vec![0; STEP_BYTES], ended: false, sink }
    }

    pub fn sink(&self) -> &W {
        &self.sink
    }

    pub fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            if self.ended {
                return Err(damaged("there is more behind its end"));
            }
            let (read_before, written_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(data, &mut self.step, FlushDecompress::None);
            let status = status.map_err(|_| damaged("it is no deflate in the zlib format"))?;
            let count = |now: u64, before: u64| usize::try_from(now - before).expect("a step is small");
            let read = count(self.inflate.total_in(), read_before);
            let written = count(self.inflate.total_out(), written_before);
            self.sink.write_all(&self.step[..written])?;
            data = &data[read..];
            self.ended = status == Status::StreamEnd;
            if read == 0 && written == 0 && !self.ended {
                return Err(damaged("it does not go on"));
            }
        }
        // What a full step has left inside.
        while !self.ended {
            let before = self.inflate.total_out();
            let status = self.inflate.decompress(&[], &mut self.step, FlushDecompress::None);
            let written = usize::try_from(self.inflate.total_out() - before).expect("a step is small");
            self.sink.write_all(&self.step[..written])?;
            self.ended = matches!(status, Ok(Status::StreamEnd));
            if written == 0 {
                break;
            }
        }
        Ok(())
    }

    /// What it was written into, if it came whole; nothing at all is an empty body.
    pub fn finish(self) -> io::Result<W> {
        if self.ended || self.inflate.total_in() == 0 {
            return Ok(self.sink);
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends early"))
    }
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
