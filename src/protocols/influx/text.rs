//! Names as line protocol writes them: measurements, keys and values of tags, keys of fields. They end at a delimiter
//! without a backslash before it; nothing is copied where there is no backslash.

use std::borrow::Cow;

const COMMA: u8 = 1;
const EQUALS: u8 = 2;
const SPACE: u8 = 4;
const NEWLINE: u8 = 8;
const BACKSLASH: u8 = 16;

/// A name or text, borrowed where it has no backslash.
pub type Text<'a> = Cow<'a, [u8]>;

/// What each byte is.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    classes[b',' as usize] = COMMA;
    classes[b'=' as usize] = EQUALS;
    classes[b' ' as usize] = SPACE;
    classes[b'\n' as usize] = NEWLINE;
    classes[b'\\' as usize] = BACKSLASH;
    classes
};

/// A kind of names.
#[derive(Clone, Copy)]
pub struct Name {
    ends: u8,
    /// What a backslash takes its meaning from; it is gone then, and stays before anything else.
    escaped: u8,
}

/// An equals sign is one of its own characters.
pub const MEASUREMENT: Name = Name { ends: COMMA | SPACE | NEWLINE, escaped: COMMA | SPACE };
pub const KEY: Name = Name { ends: COMMA | EQUALS | SPACE | NEWLINE, escaped: COMMA | EQUALS | SPACE };
pub const TAG_VALUE: Name = KEY;
/// InfluxDB 3 takes an equals sign here as it is.
pub const TAG_VALUE_3: Name = Name { ends: COMMA | SPACE | NEWLINE, escaped: COMMA | EQUALS | SPACE };

impl Name {
    /// The same where two backslashes are one, as InfluxDB 3 reads them; before it they are two.
    pub const fn paired(self, paired: bool) -> Self {
        Self { escaped: if paired { self.escaped | BACKSLASH } else { self.escaped }, ..self }
    }

    /// The name that begins at `start`, and where it ends; empty if none does.
    #[inline]
    pub fn read(self, body: &[u8], start: usize) -> (Text<'_>, usize) {
        let stop = self.ends | BACKSLASH;
        let rest = &body[start..];
        let length = rest.iter().position(|byte| CLASSES[usize::from(*byte)] & stop != 0).unwrap_or(rest.len());
        if rest.get(length) == Some(&b'\\') {
            return self.unescaped(body, start, start + length);
        }
        (Cow::Borrowed(&rest[..length]), start + length)
    }

    /// The same, with a backslash at `at`.
    #[cold]
    fn unescaped(self, body: &[u8], start: usize, mut at: usize) -> (Text<'_>, usize) {
        let mut text = body[start..at].to_vec();
        // Whether an odd number of backslashes ends here: a newline behind them is a part of the name.
        let mut odd = false;
        while let Some(&byte) = body.get(at) {
            let class = CLASSES[usize::from(byte)];
            odd = class == BACKSLASH && !odd;
            match body.get(at + 1) {
                Some(&next) if class == BACKSLASH && CLASSES[usize::from(next)] & self.escaped != 0 => {
                    text.push(next);
                    (at, odd) = (at + 2, false);
                }
                Some(b'\n') if odd => {
                    text.extend_from_slice(b"\\\n");
                    (at, odd) = (at + 2, false);
                }
                _ if class & self.ends != 0 => break,
                _ => {
                    text.push(byte);
                    at += 1;
                }
            }
        }
        (Cow::Owned(text), at)
    }
}
