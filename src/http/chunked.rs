//! The framing of chunked bodies, followed byte by byte so that it is known where the next request begins.
//!
//! Stricter than hyper, which reads the same bytes behind it: what passes here has one reading. Pure code.

/// Bytes of chunk extensions and trailers of one body; nobody here reads them.
const EXTRA_BYTES_MAX: usize = 8 * 1024;
/// Hexadecimal digits of a chunk's size.
const SIZE_DIGITS_MAX: u8 = 15;

/// A chunked body whose framing is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// How far a chunked body has come.
#[derive(Debug)]
pub struct Chunks {
    state: State,
    extra_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataEnd,
    /// At the beginning of a trailer, or of the last line.
    Line,
    Trailer,
    TrailerEnd,
    LastEnd,
    Done,
}

const SIZE: State = State::Size { digits: 0, size: 0 };

impl Default for Chunks {
    /// At the first chunk's size.
    fn default() -> Self {
        Self { state: SIZE, extra_bytes: 0 }
    }
}

impl Chunks {
    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Goes on over `bytes`; how many of them belong to this body: fewer than there are only at its end.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            if let State::Data { left } = self.state {
                let here = left.min((bytes.len() - at) as u64);
                self.state = if here == left { State::DataReturn } else { State::Data { left: left - here } };
                at += usize::try_from(here).expect("no more than there are bytes");
                continue;
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        if matches!(self.state, State::Extension { .. } | State::Trailer) {
            self.extra_bytes += 1;
            if self.extra_bytes > EXTRA_BYTES_MAX {
                return Err(Malformed);
            }
        }
        let is_text = byte == b'\t' || !byte.is_ascii_control();
        Ok(match (self.state, byte) {
            (State::Size { digits, size }, _) if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS_MAX => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                State::Size { digits: digits + 1, size: size * 16 + u64::from(digit) }
            }
            (State::Size { digits: 1.., size }, b'\r') | (State::Extension { size }, b'\r') => State::SizeEnd { size },
            (State::Size { digits: 1.., size }, b';') => State::Extension { size },
            (State::Extension { size }, _) if is_text => State::Extension { size },
            (State::SizeEnd { size: 0 }, b'\n') => State::Line,
            (State::SizeEnd { size }, b'\n') => State::Data { left: size },
            (State::DataReturn, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => SIZE,
            (State::Line, b'\r') => State::LastEnd,
            (State::Line | State::Trailer, _) if is_text => State::Trailer,
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::TrailerEnd, b'\n') => State::Line,
            (State::LastEnd, b'\n') => State::Done,
            _ => return Err(Malformed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the body ends, fed whole and in pieces of one byte, which must agree.
    fn end(text: &str) -> Result<Option<usize>, Malformed> {
        let run = |piece: usize| {
            let (mut chunks, mut taken) = (Chunks::default(), 0);
            for part in text.as_bytes().chunks(piece) {
                taken += chunks.advance(part)?;
                if chunks.is_done() {
                    return Ok(Some(taken));
                }
            }
            Ok(None)
        };
        let whole = run(text.len().max(1));
        assert_eq!(whole, run(1), "{text:?}");
        whole
    }

    #[test]
    fn bodies_end_where_they_end() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "00A\r\n0123456789\r\n1;a=b\r\nx\r\n0;last\r\n\r\n",
            "1\r\n\n\r\n0\r\ntrailer: x\r\nother: y\r\n\r\n",
        ] {
            assert_eq!(end(body), Ok(Some(body.len())), "{body:?}");
            assert_eq!(end(&format!("{body}GET /")), Ok(Some(body.len())), "{body:?}");
            for cut in 0..body.len() {
                assert_eq!(end(&body[..cut]), Ok(None), "{:?}", &body[..cut]);
            }
        }
    }

    #[test]
    fn wrong_framing_is_refused() {
        for body in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "0x5\r\n",
            "5 \r\n",
            " 5\r\n",
            ";a\r\n",
            "5\nhello\r\n",
            "5\r\nhelloo\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "0\r\n\n",
            "0\r\na: b\n\r\n",
            "1;a\nx\r\n",
            "1000000000000000\r\n",
        ] {
            assert_eq!(end(body), Err(Malformed), "{body:?}");
        }
        assert_eq!(end(&format!("1;{}\r\n", "x".repeat(EXTRA_BYTES_MAX))), Err(Malformed));
        assert_eq!(end(&format!("0\r\n{}", "a: b\r\n".repeat(EXTRA_BYTES_MAX))), Err(Malformed));
    }
}
