//! Decompression while bytes come in, into a buffer that never grows past its limit or the budget.

use std::io::{self, Write};

use zstd::stream::raw::{self, Operation};
use zstd::zstd_safe::{DParameter, InBuffer, OutBuffer};

use super::grpc::GrpcFrame;
use super::gzip::GzipDecoder;
use super::sink::{BodySink, Refused, Unfinished};
use super::zlib::ZlibDecoder;
use crate::limits::KIB;
use crate::protocols::Encoding;

/// Largest zstd window accepted, as a power of two: 16 MiB, more than any level without `--ultra` uses.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;
/// How many bytes of content a byte in Snappy's format stands for, at most: a copy of 3 bytes is of 64.
const SNAPPY_RATIO_MAX: usize = 32;
/// What one step of zstd may put out.
const ZSTD_STEP_BYTES: usize = 64 * KIB;

/// How frames begin: with content (RFC 8878, 3.1.1), or to be skipped (3.1.2), of which the lowest four bits are free.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_SKIPPABLE_MAGIC: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// zstd, one frame after another. The library says neither that a frame was cut short nor that what follows is none.
pub struct ZstdDecoder {
    decoder: raw::Decoder<'static>,
    step: Vec<u8>,
    /// Between two frames, and at the end of the last.
    complete: bool,
    frames: usize,
    /// The first bytes of a frame, as far as they have come.
    head: Vec<u8>,
    sink: BodySink,
}

impl ZstdDecoder {
    fn new(sink: BodySink) -> io::Result<Self> {
        let mut decoder = raw::Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        let step = vec![0; ZSTD_STEP_BYTES];
        Ok(Self { decoder, step, complete: true, frames: 0, head: Vec::new(), sink })
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        let mut input = InBuffer::around(data);
        while !data.is_empty() {
            self.check_head(&data[input.pos()..])?;
            let (hint, written) = {
                let mut output = OutBuffer::around(self.step.as_mut_slice());
                (self.decoder.run(&mut input, &mut output)?, output.pos())
            };
            self.complete = hint == 0;
            if self.complete {
                self.frames += 1;
                self.head.clear();
            }
            self.sink.write_all(&self.step[..written])?;
            // A full step may have left output inside the decoder, also when all input is taken; after the end of a
            // frame there is none, and asking again would begin another.
            if input.pos() == data.len() && (self.complete || written < ZSTD_STEP_BYTES) {
                break;
            }
        }
        Ok(())
    }

    fn check_head(&mut self, data: &[u8]) -> io::Result<()> {
        let missing = (ZSTD_MAGIC.len() - self.head.len()).min(data.len());
        self.head.extend_from_slice(&data[..missing]);
        let skippable = self.head.iter().zip(ZSTD_SKIPPABLE_MAGIC).enumerate();
        let is_skippable = skippable
            .fold(true, |is, (at, (byte, magic))| is && if at == 0 { byte & 0xf0 == magic } else { *byte == magic });
        if ZSTD_MAGIC.starts_with(&self.head) || is_skippable {
            return Ok(());
        }
        let what = match self.frames {
            0 => "it does not begin as zstd does",
            _ => "what follows a zstd frame is not another one",
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

/// A body on its way in.
pub enum Decompressor {
    Identity(BodySink),
    Gzip(Box<GzipDecoder<BodySink>>),
    Zstd(Box<ZstdDecoder>),
    Deflate(Box<ZlibDecoder<BodySink>>),
    /// Gathered, and decompressed at once when it is whole.
    Snappy(BodySink),
    /// A message behind its frame, which says whether it is compressed.
    Grpc(Box<GrpcDecoder>),
}

pub struct GrpcDecoder {
    frame: GrpcFrame,
    /// What a compressed message is compressed with.
    encoding: Encoding,
    /// Where the message goes; until its head has come, the sink alone.
    message: Result<Decompressor, Option<BodySink>>,
}

impl Decompressor {
    /// A decoder into `sink`.
    pub fn new(encoding: Encoding, sink: BodySink) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Identity => Self::Identity(sink),
            Encoding::Gzip => Self::Gzip(Box::new(GzipDecoder::new(sink))),
            Encoding::Zstd => Self::Zstd(Box::new(ZstdDecoder::new(sink)?)),
            Encoding::Deflate => Self::Deflate(Box::new(ZlibDecoder::new(sink))),
            Encoding::Snappy => Self::Snappy(sink),
            Encoding::Grpc => Self::grpc(Encoding::Identity, sink),
            Encoding::GrpcGzip => Self::grpc(Encoding::Gzip, sink),
            Encoding::GrpcZstd => Self::grpc(Encoding::Zstd, sink),
        })
    }

    fn grpc(encoding: Encoding, sink: BodySink) -> Self {
        Self::Grpc(Box::new(GrpcDecoder { frame: GrpcFrame::default(), encoding, message: Err(Some(sink)) }))
    }

    /// Takes the next bytes of the body.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(sink) | Self::Snappy(sink) => sink.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
            Self::Zstd(decoder) => decoder.write_all(data),
            Self::Deflate(decoder) => decoder.write_all(data),
            Self::Grpc(decoder) => decoder.write_all(data),
        }
    }

    /// Why the buffer took no more, if it did not.
    pub fn refused(&self) -> Option<Refused> {
        match self {
            Self::Identity(sink) | Self::Snappy(sink) => sink.refused,
            Self::Deflate(decoder) => decoder.sink().refused,
            Self::Grpc(decoder) => decoder.message.as_ref().ok().and_then(Self::refused),
            Self::Gzip(decoder) => decoder.sink().refused,
            Self::Zstd(decoder) => decoder.sink.refused,
        }
    }

    /// The whole body; an error when it was cut short.
    pub fn finish(self) -> Result<BodySink, Unfinished> {
        match self {
            Self::Identity(sink) => Ok(sink),
            Self::Snappy(sink) => unsnapped(sink),
            Self::Grpc(decoder) => {
                decoder.frame.finish()?;
                decoder.message.map_or_else(|sink| Ok(sink.expect("it is taken with the head")), Self::finish)
            }
            Self::Deflate(decoder) => Ok(decoder.finish()?),
            Self::Gzip(decoder) => Ok(decoder.finish()?),
            Self::Zstd(decoder) if decoder.complete => Ok(decoder.sink),
            Self::Zstd(_) => {
                let error =
                    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends early, in the middle of a zstd frame");
                Err(error.into())
            }
        }
    }
}

impl GrpcDecoder {
    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        let data = self.frame.strip(data)?;
        if let (Err(sink), Some(is_compressed)) = (&mut self.message, self.frame.is_compressed()?) {
            let encoding = match (is_compressed, self.encoding) {
                (true, Encoding::Identity) => {
                    let what = "its message is compressed, and no grpc-encoding says how";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                (true, encoding) => encoding,
                (false, _) => Encoding::Identity,
            };
            let sink = sink.take().expect("it is taken once, with the head");
            self.message = Ok(Decompressor::new(encoding, sink)?);
        }
        match &mut self.message {
            Ok(message) if !data.is_empty() => message.write(data),
            _ => Ok(()),
        }
    }
}

/// A body in Snappy's block format, which says first how large it is.
fn unsnapped(sink: BodySink) -> Result<BodySink, Unfinished> {
    let BodySink { bytes, bytes_max, mut reservation, .. } = sink;
    let damaged = |error: snap::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let length = if bytes.is_empty() { 0 } else { snap::raw::decompress_len(&bytes).map_err(damaged)? };
    if length > bytes_max {
        return Err(Unfinished::Refused(Refused::TooLarge));
    }
    // A byte of it stands for 32 at most: a length that is only claimed takes no memory.
    if length > bytes.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it says that it is larger than it can be").into());
    }
    reservation.grow_to(bytes.len() + length).map_err(|no_room| Unfinished::Refused(Refused::NoMemory(no_room)))?;
    let mut whole = vec![0; length];
    let written = snap::raw::Decoder::new().decompress(&bytes, &mut whole).map_err(damaged)?;
    whole.truncate(written);
    drop(bytes);
    reservation.shrink_to(whole.len());
    Ok(BodySink { bytes: whole, bytes_max, reservation, refused: None })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use bytes::Bytes;

    use super::*;
    use crate::budget::{Budget, HeldFor, Shares};

    fn decoder(encoding: Encoding, bytes_max: usize) -> Decompressor {
        let reservation = Budget::new(Shares { total: 64 << 20, tenant: 64 << 20, answers: 0, tenant_answers: 0 })
            .reserve(&"t".into(), HeldFor::Body, 16)
            .unwrap();
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
    }

    fn unpack(packed: &[u8], piece: usize) -> io::Result<Bytes> {
        unpack_as(Encoding::Zstd, packed, piece)
    }

    fn unpack_as(encoding: Encoding, packed: &[u8], piece: usize) -> io::Result<Bytes> {
        let mut whole = decoder(encoding, 2_000_000);
        packed.chunks(piece).try_for_each(|part| whole.write(part))?;
        match whole.finish() {
            Ok(sink) => Ok(sink.into_parts().0),
            Err(Unfinished::Broken(error)) => Err(error),
            Err(Unfinished::Refused(_)) => Err(io::Error::other("refused")),
        }
    }

    #[test]
    fn zstd_frames_follow_each_other_and_what_is_none_is_named() {
        let frame = |plain: &[u8]| zstd::encode_all(plain, 1).unwrap();
        let (ab, cd, skipped) = (frame(b"ab"), frame(b"cd"), [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        for piece in [1, 3, 1000] {
            let joined = [&skipped[..], &ab, &skipped, &frame(b""), &cd, &skipped].concat();
            assert_eq!(unpack(&joined, piece).unwrap(), "abcd");
            assert_eq!(unpack(&[], piece).unwrap(), "");
            for (packed, cause) in [
                (b"{\"a\":1}".to_vec(), "does not begin as zstd"),
                (vec![0; 9], "does not begin as zstd"),
                ([&ab[..], b"\n"].concat(), "not another one"),
                ([&ab[..], &[0; 4]].concat(), "not another one"),
                ([&ab[..], &ZSTD_MAGIC[..3], b"x"].concat(), "not another one"),
                ([&ab[..], &ZSTD_MAGIC].concat(), "ends early"),
                (skipped[..9].to_vec(), "ends early"),
                (ab[..2].to_vec(), "ends early"),
            ] {
                let error = unpack(&packed, piece).unwrap_err().to_string();
                assert!(error.contains(cause), "{cause}: {error}");
            }
        }
    }

    #[test]
    fn snappy_and_deflate_come_out_whole_or_are_refused() {
        for size in [0, 1, 65_536, 1_000_000] {
            let plain: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[1]).collect();
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            zlib.write_all(&plain).unwrap();
            let snappy = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
            for (encoding, packed) in [(Encoding::Deflate, zlib.finish().unwrap()), (Encoding::Snappy, snappy)] {
                for piece in [1, 1000, packed.len()] {
                    assert_eq!(unpack_as(encoding, &packed, piece).unwrap(), plain, "{encoding:?} {size} by {piece}");
                }
                let cut = &packed[..packed.len() - 1];
                assert!(cut.is_empty() || unpack_as(encoding, cut, 1000).is_err(), "{encoding:?} {size}");
                if encoding == Encoding::Deflate {
                    assert!(unpack_as(encoding, &[&packed[..], b"x"].concat(), 1000).is_err(), "{size}");
                }
            }
        }
        // Says that it is 1 GiB, in 5 bytes; and as much as is allowed, which it cannot be.
        let mut large = decoder(Encoding::Snappy, 2_000_000);
        large.write(b"\x80\x80\x80\x80\x04").unwrap();
        assert!(matches!(large.finish(), Err(Unfinished::Refused(Refused::TooLarge))));
        assert!(unpack_as(Encoding::Snappy, b"\x80\x89\x7a", 10).unwrap_err().to_string().contains("larger than"));
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag][..], &length, message].concat()
    }

    #[test]
    fn one_message_of_grpc_is_read_and_nothing_else() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"hello").unwrap();
        let packed = gzip.finish().unwrap();
        for piece in [1, 3, 1000] {
            for (encoding, body, message) in [
                (Encoding::Grpc, framed(0, b"hello"), "hello"),
                (Encoding::GrpcGzip, framed(0, b"hello"), "hello"),
                (Encoding::GrpcGzip, framed(1, &packed), "hello"),
                (Encoding::GrpcZstd, framed(1, &zstd::encode_all(&b"hello"[..], 1).unwrap()), "hello"),
                (Encoding::Grpc, framed(0, b""), ""),
            ] {
                assert_eq!(unpack_as(encoding, &body, piece).unwrap(), message, "{encoding:?} {body:?}");
            }
            for (encoding, body) in [
                (Encoding::Grpc, Vec::new()),
                (Encoding::Grpc, framed(0, b"hello")[..9].to_vec()),
                (Encoding::Grpc, [framed(0, b"hello"), framed(0, b"")].concat()),
                (Encoding::Grpc, framed(1, &packed)),
                (Encoding::Grpc, framed(2, b"hello")),
                (Encoding::GrpcGzip, framed(1, &packed[..packed.len() - 1])),
            ] {
                assert!(unpack_as(encoding, &body, piece).is_err(), "{encoding:?} {body:?}");
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let packed = zstd::encode_all(vec![0; 10 << 20].as_slice(), 3).unwrap();
        let mut bomb = decoder(Encoding::Zstd, 1 << 20);
        assert!(bomb.write(&packed).is_err());
        assert!(matches!(bomb.refused(), Some(Refused::TooLarge)));
    }
}
