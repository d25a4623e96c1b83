//! Decompression while bytes come in, into a buffer that never grows past its limit or the budget.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{self, Operation};
use zstd::zstd_safe::{DParameter, InBuffer, OutBuffer};

use crate::ingest::{NoRoom, Reservation};
use crate::limits::KIB;
use crate::protocols::Encoding;

/// Largest zstd window accepted, as a power of two: 16 MiB, more than any level without `--ultra` uses.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;
/// What one step of zstd may put out.
const ZSTD_STEP_BYTES: usize = 64 * KIB;

/// Why the buffer took no more.
#[derive(Clone, Copy)]
pub enum Refused {
    TooLarge,
    /// The budget of all requests, or the tenant's share of it.
    NoMemory(NoRoom),
}

/// Where decompressed bytes go.
pub struct BodySink {
    bytes: Vec<u8>,
    bytes_max: usize,
    reservation: Reservation,
    refused: Option<Refused>,
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

/// zstd, which unlike gzip's decoder does not say by itself that a frame was cut short.
pub struct ZstdDecoder {
    decoder: raw::Decoder<'static>,
    step: Vec<u8>,
    /// True between two frames, and at the end of the last.
    complete: bool,
    sink: BodySink,
}

impl ZstdDecoder {
    fn new(sink: BodySink) -> io::Result<Self> {
        let mut decoder = raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Self { decoder, step: vec![0; ZSTD_STEP_BYTES], complete: false, sink })
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(data);
        loop {
            let (hint, written) = {
                let mut output = OutBuffer::around(self.step.as_mut_slice());
                (self.decoder.run(&mut input, &mut output)?, output.pos())
            };
            self.complete = hint == 0;
            self.sink.write_all(&self.step[..written])?;
            // A full step may have left output inside the decoder, also when all input is taken; after the end of a
            // frame there is none, and asking again would begin another.
            if input.pos() == data.len() && (self.complete || written < ZSTD_STEP_BYTES) {
                return Ok(());
            }
        }
    }
}

/// A body on its way in.
pub enum Decompressor {
    Identity(BodySink),
    Gzip(Box<MultiGzDecoder<BodySink>>),
    Zstd(Box<ZstdDecoder>),
}

impl Decompressor {
    /// A decoder into `sink`.
    pub fn new(encoding: Encoding, sink: BodySink) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Identity => Self::Identity(sink),
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Encoding::Zstd => Self::Zstd(Box::new(ZstdDecoder::new(sink)?)),
        })
    }

    /// Takes the next bytes of the body.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(sink) => sink.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
            Self::Zstd(decoder) => decoder.write_all(data),
        }
    }

    /// Why the buffer took no more, if it did not.
    pub fn refused(&self) -> Option<Refused> {
        match self {
            Self::Identity(sink) => sink.refused,
            Self::Gzip(decoder) => decoder.get_ref().refused,
            Self::Zstd(decoder) => decoder.sink.refused,
        }
    }

    /// The whole body; an error when it was cut short.
    pub fn finish(self) -> io::Result<BodySink> {
        match self {
            Self::Identity(sink) => Ok(sink),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Zstd(decoder) if decoder.complete => Ok(decoder.sink),
            Self::Zstd(_) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the zstd frame is incomplete")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::ingest::Budget;

    fn decoder(encoding: Encoding, bytes_max: usize) -> Decompressor {
        let reservation = Budget::new(64 << 20, 64 << 20).reserve(&"t".into(), 16).unwrap();
        Decompressor::new(encoding, BodySink::new(16, bytes_max, reservation)).unwrap()
    }

    #[test]
    fn zstd_of_any_size_comes_out_whole_and_a_cut_frame_is_refused() {
        for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_000] {
            let plain: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[0]).collect();
            let packed = zstd::encode_all(plain.as_slice(), 3).unwrap();
            for piece in [1, 1000, packed.len()] {
                let mut whole = decoder(Encoding::Zstd, 2_000_000);
                packed.chunks(piece).for_each(|part| whole.write(part).unwrap());
                assert_eq!(whole.finish().ok().unwrap().into_parts().0, plain, "{size} in pieces of {piece}");
            }
            let mut cut = decoder(Encoding::Zstd, 2_000_000);
            cut.write(&packed[..packed.len() - 1]).unwrap();
            assert!(cut.finish().is_err(), "{size}");
        }
        let mut two_frames = decoder(Encoding::Zstd, 100);
        two_frames
            .write(&[zstd::encode_all(&b"ab"[..], 1).unwrap(), zstd::encode_all(&b"cd"[..], 1).unwrap()].concat())
            .unwrap();
        assert_eq!(two_frames.finish().ok().unwrap().into_parts().0, "abcd");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let packed = zstd::encode_all(vec![0; 10 << 20].as_slice(), 3).unwrap();
        let mut bomb = decoder(Encoding::Zstd, 1 << 20);
        assert!(bomb.write(&packed).is_err());
        assert!(matches!(bomb.refused(), Some(Refused::TooLarge)));
    }
}
