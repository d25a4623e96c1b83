//! Where a request of HTTP/1 ends, followed over its bytes as they pass.
//!
//! hyper reads the same bytes behind this, and refuses chunks whose framing is wrong; so they are not judged twice. The
//! exceptions are bare line feeds between trailers, where hyper 1.12 goes on reading and others see the end, and what follows
//! a size without an end, of which it does not count blanks. Pure code.

/// What is left of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes that belong to it whatever they are: head, body of a known length, the chunk at hand.
    fixed: u64,
    line: Option<Line>,
}

/// A line of a chunked body's framing, which comes after the fixed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The size of a chunk as far as it was read.
    Size(u64),
    /// What follows a size on its line, and how many bytes of it have come.
    Extension { size: u64, bytes: u16 },
    /// A trailer, or the empty line after them.
    Trailer { is_empty: bool, returned: bool },
}

#[derive(Debug, PartialEq, Eq)]
pub enum Follow {
    More,
    Done,
    /// It has no end that everybody agrees on.
    Wrong,
}

/// Longest extension of a chunk, in bytes: nobody sends one.
const EXTENSION_BYTES_MAX: u16 = 8192;

const TRAILER: Line = Line::Trailer { is_empty: true, returned: false };

impl Extent {
    pub const fn fixed(bytes: u64) -> Self {
        Self { fixed: bytes, line: None }
    }

    /// So many bytes of head, then chunks.
    pub const fn chunked(head: u64) -> Self {
        Self { fixed: head, line: Some(Line::Size(0)) }
    }

    /// Goes on over `bytes`; how many of them belong to the request: all of them, unless it ends or goes wrong.
    pub fn advance(&mut self, bytes: &[u8]) -> (usize, Follow) {
        let mut at = 0;
        loop {
            let here = usize::try_from(self.fixed).unwrap_or(usize::MAX).min(bytes.len() - at);
            self.fixed -= here as u64;
            at += here;
            if self.fixed > 0 {
                return (at, Follow::More);
            }
            let Some(line) = self.line else { return (at, Follow::Done) };
            let Some(byte) = bytes.get(at) else { return (at, Follow::More) };
            self.line = match (line, *byte) {
                (Line::Size(0) | Line::Extension { size: 0, .. }, b'\n') => Some(TRAILER),
                (Line::Size(size) | Line::Extension { size, .. }, b'\n') => {
                    // The line's end after the chunk is a part of it.
                    self.fixed = size.saturating_add(2);
                    Some(Line::Size(0))
                }
                (Line::Size(size), byte) => Some(match char::from(byte).to_digit(16) {
                    Some(digit) => Line::Size(size.saturating_mul(16).saturating_add(digit.into())),
                    None => Line::Extension { size, bytes: 1 },
                }),
                (Line::Extension { bytes: EXTENSION_BYTES_MAX, .. }, _) => return (at, Follow::Wrong),
                (Line::Extension { size, bytes }, _) => Some(Line::Extension { size, bytes: bytes + 1 }),
                (Line::Trailer { returned: false, .. }, b'\n') => return (at, Follow::Wrong),
                (Line::Trailer { is_empty: true, .. }, b'\n') => None,
                (Line::Trailer { .. }, b'\n') => Some(TRAILER),
                (Line::Trailer { is_empty, returned }, byte) => {
                    let is_return = byte == b'\r';
                    Some(Line::Trailer { is_empty: is_empty && is_return && !returned, returned: is_return })
                }
            };
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a body of chunks ends, fed whole and in pieces of one byte, which must agree.
    fn end(text: &str) -> (usize, Follow) {
        let run = |piece: usize| {
            let (mut extent, mut passed) = (Extent::chunked(0), 0);
            for part in text.as_bytes().chunks(piece) {
                let (taken, follow) = extent.advance(part);
                passed += taken;
                if follow != Follow::More {
                    return (passed, follow);
                }
            }
            (passed, Follow::More)
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
            "1 \r\nx\r\n0\r\n\r\n",
            "1\r\n\n\r\n0\r\ntrailer: x\r\nother: y\r\n\r\n",
        ] {
            assert_eq!(end(body), (body.len(), Follow::Done), "{body:?}");
            assert_eq!(end(&format!("{body}GET /")), (body.len(), Follow::Done), "{body:?}");
            for cut in 0..body.len() {
                assert_eq!(end(&body[..cut]), (cut, Follow::More), "{:?}", &body[..cut]);
            }
        }
    }

    #[test]
    fn an_extension_has_an_end() {
        let body = |blanks: usize| format!("1{}\r\nx\r\n0\r\n\r\n", " ".repeat(blanks));
        let longest = usize::from(EXTENSION_BYTES_MAX) - 1;
        assert_eq!(end(&body(longest)), (body(longest).len(), Follow::Done));
        assert_eq!(end(&body(longest + 1)).1, Follow::Wrong);
    }

    #[test]
    fn bare_line_feeds_between_trailers_are_refused() {
        for (body, passed) in [("0\r\n\n", 3), ("0\r\na: b\n\r\n", 7), ("0\r\na: b\r\n\n", 9), ("0\r\n\r\r\n", 6)] {
            let (at, follow) = end(body);
            assert_eq!(at, passed, "{body:?}");
            assert_eq!(follow == Follow::Wrong, !body.contains("\r\r"), "{body:?}");
        }
    }
}
