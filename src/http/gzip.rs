//! gzip (RFC 1952) while it comes in: one member after another, and zeros behind the last, with which some senders pad.
//!
//! The frame around inflate is read here, since flate2 calls whatever is wrong with an end a wrong checksum.

use std::io::{self, Write};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::limits::KIB;

/// What one step of inflate may put out.
const STEP_BYTES: usize = 64 * KIB;
/// Both magic bytes, and the only method there is: deflate.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// What comes next, in the order in which it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Magic, method, flags, time, level and system; nothing of it at the end of the last member.
    Fixed,
    ExtraLength,
    Extra,
    Name,
    Comment,
    HeadChecksum,
    Deflated,
    /// Checksum and length of the content.
    Trailer,
    Padding,
}

#[derive(Debug, Clone, Copy)]
struct Flags(u8);

impl Flags {
    const RESERVED: u8 = 0xe0;

    /// The parts that a head has, of those that it may have.
    fn have(self, part: Part) -> bool {
        let bit = match part {
            Part::ExtraLength | Part::Extra => 4,
            Part::Name => 8,
            Part::Comment => 16,
            Part::HeadChecksum => 2,
            Part::Fixed | Part::Deflated | Part::Trailer | Part::Padding => return true,
        };
        self.0 & bit != 0
    }
}

pub struct GzipDecoder<W> {
    part: Part,
    flags: Flags,
    /// What has come of a part of known length, and that length.
    gathered: Vec<u8>,
    extra_bytes: usize,
    /// Of the head, then of the content.
    crc: Crc,
    inflate: Decompress,
    step: Vec<u8>,
    members: usize,
    sink: W,
}

impl<W: Write> GzipDecoder<W> {
    pub fn new(sink: W) -> Self {
        Self {
            part: Part::Fixed,
            flags: Flags(0),
            gathered: Vec::new(),
            extra_bytes: 0,
            crc: Crc::new(),
            inflate: Decompress::new(false),
            step: vec![0; STEP_BYTES],
            members: 0,
            sink,
        }
    }

    pub fn sink(&self) -> &W {
        &self.sink
    }

    pub fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.part {
                Part::Fixed => self.fixed(&mut data)?,
                Part::ExtraLength => {
                    if let Some([low, high]) = self.gather(&mut data) {
                        self.extra_bytes = u16::from_le_bytes([low, high]).into();
                        self.part = if self.extra_bytes == 0 { self.behind(Part::Extra) } else { Part::Extra };
                    }
                }
                Part::Extra => {
                    let taken = self.extra_bytes.min(data.len());
                    self.pass(&mut data, taken);
                    self.extra_bytes -= taken;
                    if self.extra_bytes == 0 {
                        self.part = self.behind(Part::Extra);
                    }
                }
                part @ (Part::Name | Part::Comment) => {
                    let end = memchr::memchr(0, data);
                    let taken = end.map_or(data.len(), |end| end + 1);
                    self.pass(&mut data, taken);
                    if end.is_some() {
                        self.part = self.behind(part);
                    }
                }
                Part::HeadChecksum => {
                    let sum = self.crc.sum();
                    if let Some(bytes) = self.gather(&mut data) {
                        if u32::from(u16::from_le_bytes(bytes)) != sum & 0xffff {
                            return Err(damaged("the checksum of its head does not match"));
                        }
                        self.part = self.behind(Part::HeadChecksum);
                    }
                }
                Part::Deflated => self.deflated(&mut data)?,
                Part::Trailer => {
                    if let Some(trailer) = self.gather(&mut data).map(u64::from_le_bytes) {
                        if trailer & u64::from(u32::MAX) != u64::from(self.crc.sum()) {
                            return Err(damaged("the checksum of its content does not match"));
                        }
                        if trailer >> 32 != u64::from(self.crc.amount()) {
                            return Err(damaged("the length of its content does not match"));
                        }
                        self.members += 1;
                        self.crc.reset();
                        self.inflate.reset(false);
                        self.part = Part::Fixed;
                    }
                }
                Part::Padding if data.iter().all(|byte| *byte == 0) => return Ok(()),
                Part::Padding => return Err(junk()),
            }
        }
        Ok(())
    }

    /// The whole content; an error where its end has not come. Nothing at all is the content of nothing.
    pub fn finish(self) -> io::Result<W> {
        match self.part {
            Part::Fixed if self.gathered.is_empty() => Ok(self.sink),
            Part::Padding => Ok(self.sink),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends early, in the middle of a gzip member")),
        }
    }

    fn fixed(&mut self, data: &mut &[u8]) -> io::Result<()> {
        if self.members > 0 && self.gathered.is_empty() && data[0] == 0 {
            self.part = Part::Padding;
            return Ok(());
        }
        let begun = self.gathered.len();
        let wrong = data.iter().zip(MAGIC.iter().skip(begun)).any(|(byte, magic)| byte != magic);
        if wrong {
            return Err(if self.members > 0 { junk() } else { invalid("it does not begin as gzip does") });
        }
        if let Some([_, _, _, flags, ..]) = self.gather::<10>(data) {
            if flags & Flags::RESERVED != 0 {
                return Err(damaged("its head has flags that mean nothing"));
            }
            self.flags = Flags(flags);
            self.part = self.behind(Part::Fixed);
        }
        Ok(())
    }

    fn deflated(&mut self, data: &mut &[u8]) -> io::Result<()> {
        loop {
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(data, &mut self.step, FlushDecompress::None)
                .map_err(|error| damaged(error.message().unwrap_or("what it holds is not deflated")))?;
            let moved = |from: u64, to: u64| usize::try_from(to - from).expect("a step is small");
            let taken = moved(before_in, self.inflate.total_in());
            let written = moved(before_out, self.inflate.total_out());
            *data = &data[taken..];
            self.crc.update(&self.step[..written]);
            self.sink.write_all(&self.step[..written])?;
            if status == Status::StreamEnd {
                self.part = Part::Trailer;
                return Ok(());
            }
            // A full step may have left output inside.
            if data.is_empty() && written < self.step.len() {
                return Ok(());
            }
            if taken == 0 && written == 0 {
                return Err(damaged("what it holds cannot be inflated"));
            }
        }
    }

    /// The part that comes behind this one.
    fn behind(&mut self, part: Part) -> Part {
        const HEAD: [Part; 6] =
            [Part::Fixed, Part::ExtraLength, Part::Extra, Part::Name, Part::Comment, Part::HeadChecksum];
        let next = HEAD.into_iter().skip_while(|known| *known != part).skip(1).find(|next| self.flags.have(*next));
        next.unwrap_or_else(|| {
            self.crc.reset();
            Part::Deflated
        })
    }

    /// So many bytes, once they have all come.
    fn gather<const N: usize>(&mut self, data: &mut &[u8]) -> Option<[u8; N]> {
        let missing = (N - self.gathered.len()).min(data.len());
        self.gathered.extend_from_slice(&data[..missing]);
        if matches!(self.part, Part::Fixed | Part::ExtraLength) {
            self.crc.update(&data[..missing]);
        }
        *data = &data[missing..];
        let whole = self.gathered.as_slice().try_into().ok()?;
        self.gathered.clear();
        Some(whole)
    }

    /// Passes over bytes of the head.
    fn pass(&mut self, data: &mut &[u8], bytes: usize) {
        self.crc.update(&data[..bytes]);
        *data = &data[bytes..];
    }
}

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn damaged(what: &str) -> io::Error {
    invalid(format!("a gzip member is damaged: {what}"))
}

fn junk() -> io::Error {
    invalid("what follows a gzip member is neither another one nor zeros")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use flate2::{Compression, GzBuilder};

    use super::*;

    fn member(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// With everything that a head may have.
    fn full_member(plain: &[u8]) -> Vec<u8> {
        let builder = GzBuilder::new().filename("a name").comment("a comment").extra(vec![1, 2, 3]).mtime(7);
        let mut encoder = builder.write(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        let mut bytes = encoder.finish().unwrap();
        bytes[3] |= 2;
        let head = 10 + 2 + 3 + "a name".len() + 1 + "a comment".len() + 1;
        let mut crc = Crc::new();
        crc.update(&bytes[..head]);
        let sum = crc.sum().to_le_bytes();
        bytes.splice(head..head, [sum[0], sum[1]]);
        bytes
    }

    fn unpack(packed: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let mut decoder = GzipDecoder::new(Vec::new());
        packed.chunks(piece.max(1)).try_for_each(|part| decoder.write_all(part))?;
        decoder.finish()
    }

    #[test]
    fn members_and_padding_in_pieces_of_any_size() {
        let plain: Vec<u8> = (0..200_000u32).map(|n| n.wrapping_mul(n).to_le_bytes()[1]).collect();
        let zeros = [0; 600];
        for (packed, expected) in [
            (member(&plain), plain.clone()),
            (full_member(&plain), plain.clone()),
            ([member(b"ab"), full_member(b""), member(b"cd")].concat(), b"abcd".to_vec()),
            ([&member(b"ab")[..], &zeros].concat(), b"ab".to_vec()),
            (
                [&member(&[0; 300_000])[..], &full_member(b"x")[..], &zeros[..1]].concat(),
                [&[0; 300_000][..], b"x"].concat(),
            ),
            (Vec::new(), Vec::new()),
        ] {
            for piece in [1, 2, 7, 1000, packed.len()] {
                assert_eq!(unpack(&packed, piece).unwrap(), expected, "pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (whole, full) = (member(b"some text"), full_member(b"some text"));
        for packed in [&whole, &full] {
            for end in 1..packed.len() {
                let error = unpack(&packed[..end], 4).unwrap_err().to_string();
                assert_eq!(error, "it ends early, in the middle of a gzip member", "{end}");
            }
        }
        let changed = |at: usize| {
            let mut bytes = full.clone();
            let at = if at > 100 { bytes.len() - (at - 100) } else { at };
            bytes[at] ^= 0x5a;
            bytes
        };
        for (packed, cause) in [
            (b"{\"a\":1}".to_vec(), "does not begin as gzip"),
            (vec![0; 20], "does not begin as gzip"),
            (changed(2), "does not begin as gzip"),
            (changed(3), "flags"),
            (changed(6), "checksum of its head"),
            (changed(17), "checksum of its head"),
            (changed(108), "checksum of its content"),
            (changed(101), "length of its content"),
            ([&whole[..], b"\r\n"].concat(), "neither another one nor zeros"),
            ([&whole[..], &[0, 0, 1]].concat(), "neither another one nor zeros"),
            ([&whole[..], &[0x1f, 0x8b, 9]].concat(), "neither another one nor zeros"),
            ([&whole[..], &whole[..5]].concat(), "ends early"),
        ] {
            for piece in [1, 1000] {
                let error = unpack(&packed, piece).unwrap_err().to_string();
                assert!(error.contains(cause), "{cause}: {error}");
            }
        }
    }
}
