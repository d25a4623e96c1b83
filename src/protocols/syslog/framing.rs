//! A stream into messages (RFC 6587): their length before them, or a line end or NUL behind them, told apart message by
//! message. What is too long is cut.

use memchr::memchr2;

use crate::limits::SYSLOG_MESSAGE_BYTES_MAX as MESSAGE_BYTES_MAX;

/// Digits of a length: more are no length, but text.
const DIGITS_MAX: usize = 7;

/// What came of a stream and is no message yet.
#[derive(Debug, Default)]
pub struct Framing {
    buffer: Vec<u8>,
    /// Bytes of the stream before it.
    passed: usize,
    /// How much of it was taken.
    taken: usize,
    /// Up to where behind that there is no line end.
    looked: usize,
    skip: Skip,
}

/// What is passed over: the rest of a message that was too long.
#[derive(Debug, Default, Clone, Copy)]
enum Skip {
    #[default]
    Nothing,
    Bytes(usize),
    Line,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub message: &'a [u8],
    /// Where in the stream it begins.
    pub at: usize,
    /// It was longer.
    pub cut: bool,
}

/// How the next message ends.
enum Start {
    /// It has this many bytes, behind so many of the length.
    Counted {
        digits: usize,
        length: usize,
    },
    Line,
    /// More bytes will tell.
    Unknown,
}

impl Framing {
    /// Adds what was read; what was taken before is forgotten.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.passed = self.passed.wrapping_add(std::mem::take(&mut self.taken));
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message; `ended`: nothing more will come, so that the last one needs no end.
    pub fn next(&mut self, ended: bool) -> Option<Frame<'_>> {
        self.pass_over();
        if !matches!(self.skip, Skip::Nothing) {
            return None;
        }
        // Line ends behind messages whose length does not count them.
        let rest = &self.buffer[self.taken..];
        let blank = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | b'\0')).count();
        self.taken += blank;
        self.looked = self.looked.saturating_sub(blank);
        let rest = &self.buffer[self.taken..];
        let (start, length, consumed, cut) = match start_of(rest, ended) {
            Start::Unknown => return None,
            Start::Counted { digits, length } => {
                let kept = length.min(MESSAGE_BYTES_MAX);
                let there = rest.len() - digits;
                if there < kept && !ended {
                    return None;
                }
                let kept = kept.min(there);
                self.skip = if length > kept && !ended { Skip::Bytes(length - kept) } else { Skip::Nothing };
                (digits, kept, digits + kept, length > kept)
            }
            Start::Line => match memchr2(b'\n', b'\0', &rest[self.looked..]).map(|at| self.looked + at) {
                Some(end) if end <= MESSAGE_BYTES_MAX => (0, end, end + 1, false),
                found if found.is_some() || rest.len() > MESSAGE_BYTES_MAX => {
                    self.skip = Skip::Line;
                    (0, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, true)
                }
                _ if ended && !rest.is_empty() => (0, rest.len(), rest.len(), false),
                _ => {
                    self.looked = rest.len();
                    return None;
                }
            },
        };
        let start = self.taken + start;
        self.taken += consumed;
        self.looked = 0;
        Some(Frame { message: &self.buffer[start..start + length], at: self.passed.wrapping_add(start), cut })
    }

    /// Bytes that wait for the rest of their message.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.taken
    }

    fn pass_over(&mut self) {
        let rest = &self.buffer[self.taken..];
        let (passed, left) = match self.skip {
            Skip::Nothing => return,
            Skip::Bytes(count) if count > rest.len() => (rest.len(), Skip::Bytes(count - rest.len())),
            Skip::Bytes(count) => (count, Skip::Nothing),
            Skip::Line => memchr2(b'\n', b'\0', rest).map_or((rest.len(), Skip::Line), |at| (at + 1, Skip::Nothing)),
        };
        self.taken += passed;
        self.skip = left;
    }
}

/// A length is digits, a space, and a message, which begins with its priority; anything else is a line.
fn start_of(text: &[u8], ended: bool) -> Start {
    let more = if ended { Start::Line } else { Start::Unknown };
    let digits = text.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > DIGITS_MAX || text[0] == b'0' {
        return if text.is_empty() { Start::Unknown } else { Start::Line };
    }
    match (text.get(digits), text.get(digits + 1)) {
        (Some(b' '), Some(b'<')) => {
            let length = text[..digits].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            Start::Counted { digits: digits + 1, length }
        }
        (None, _) | (Some(b' '), None) => more,
        _ => Start::Line,
    }
}
