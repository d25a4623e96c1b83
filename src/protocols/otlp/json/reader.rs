//! Tokens of JSON, one after another. Nothing is copied but strings with escapes.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::wire::item::reject::excerpt;

/// What some editors put before text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Characters of a wrong value that are looked at.
const SHOWN_CHARS_MAX: usize = 1000;

/// Why a body or a record cannot be read.
pub struct Fault {
    pub at: usize,
    pub what: Cow<'static, str>,
}

/// Where in a body its reader is.
pub struct Reader<'j> {
    text: &'j str,
    at: usize,
}

impl<'j> Reader<'j> {
    pub fn new(text: &'j str) -> Self {
        Self { text, at: if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 } }
    }

    /// Where the next token begins; at the end behind all.
    #[inline]
    pub fn next(&mut self) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
        }
        self.at
    }

    /// Where the last token ended.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes back.
    pub fn return_to(&mut self, at: usize) {
        self.at = at;
    }

    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let at = self.next();
        self.text.as_bytes().get(at).copied()
    }

    #[inline]
    pub fn takes(&mut self, byte: u8) -> bool {
        let takes = self.peek() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    #[inline]
    pub fn takes_word(&mut self, word: &str) -> bool {
        let at = self.next();
        let takes = self.text.as_bytes()[at..].starts_with(word.as_bytes());
        self.at += if takes { word.len() } else { 0 };
        takes
    }

    pub fn is_over(&mut self) -> bool {
        self.peek().is_none()
    }

    /// The string that comes next, if one does: as it is meant.
    #[inline]
    pub fn string(&mut self) -> Result<Option<Cow<'j, str>>, Fault> {
        if self.peek() != Some(b'"') {
            return Ok(None);
        }
        let start = self.at;
        let rest = &self.text.as_bytes()[start + 1..];
        match memchr::memchr2(b'"', b'\\', rest) {
            Some(length) if rest[length] == b'"' => {
                self.at = start + length + 2;
                Ok(Some(Cow::Borrowed(&self.text[start + 1..start + 1 + length])))
            }
            _ => self.escaped_string().map(|text| Some(Cow::Owned(text))),
        }
    }

    #[cold]
    fn escaped_string(&mut self) -> Result<String, Fault> {
        let mut strings = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter();
        match strings.next() {
            Some(Ok(text)) => {
                self.at += strings.byte_offset();
                Ok(text)
            }
            _ => Err(self.fault("a string that is not ended, or holds an escape that stands for no character")),
        }
    }

    /// The number that comes next, if one does.
    #[inline]
    pub fn number(&mut self) -> Option<&'j str> {
        let start = self.next();
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = self.text.as_bytes()[start..].iter().take_while(|byte| is_part(byte)).count();
        self.at += length;
        (length > 0).then(|| &self.text[start..start + length])
    }

    /// Passes over a value of any kind.
    pub fn skip(&mut self) -> Result<(), Fault> {
        let start = self.next();
        let mut values = serde_json::Deserializer::from_str(&self.text[start..]).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at = start + values.byte_offset();
                Ok(())
            }
            _ => Err(self.fault("a value that is no JSON, or is not ended")),
        }
    }

    /// Something else stands here than belongs here.
    #[cold]
    pub fn expected(&mut self, name: &str, belongs: &str) -> Fault {
        let at = self.next();
        let end = self.skip().map_or(self.text.len(), |()| self.at);
        self.at = at;
        // No more is looked at than may be shown, with a secret in it as a whole.
        let found = &self.text[at..end];
        let found = excerpt(found.char_indices().nth(SHOWN_CHARS_MAX).map_or(found, |(cut, _)| &found[..cut]));
        Fault { at, what: format!("{name} is {found}, where {belongs} belongs").into() }
    }

    #[cold]
    pub fn fault(&mut self, what: &'static str) -> Fault {
        Fault { at: self.next(), what: what.into() }
    }
}
