//! Goes through JSON text that is known to be well-formed, and stays within any other. Nothing is copied, nothing
//! recurses.

use std::borrow::Cow;

use super::fault::Fault;

#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    /// Where the next token begins.
    pub fn at(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// Where the last token ended.
    pub fn end(&self) -> usize {
        self.at
    }

    /// The first byte of the next token; None: the text is over.
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        let takes = self.peek() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    fn null(&mut self) -> bool {
        let is_null = self.peek() == Some(b'n') && self.text[self.at..].starts_with(b"null");
        self.at += if is_null { 4 } else { 0 };
        is_null
    }

    /// Calls `member` with the key (as it is written, without quotes) of each member that is not null; it reads the
    /// value.
    #[inline]
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.null() {
            return Ok(());
        }
        if !self.takes(b'{') {
            return Err("a value is of another type than its schema says: an object is expected".into());
        }
        while !self.takes(b'}') {
            let key = self.string()?;
            if !self.takes(b':') {
                return Err(ended());
            }
            if !self.null() {
                member(self, key)?;
            }
            self.takes(b',');
        }
        Ok(())
    }

    /// Calls `element` before each element, which it reads.
    #[inline]
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.null() {
            return Ok(());
        }
        if !self.takes(b'[') {
            return Err("a value is of another type than its schema says: an array is expected".into());
        }
        while !self.takes(b']') {
            if self.peek().is_none() {
                return Err(ended());
            }
            element(self)?;
            self.takes(b',');
        }
        Ok(())
    }

    /// A string as it is written, without quotes.
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8], Fault> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err("a value is of another type than its schema says: a string is expected".into()),
            None => return Err(ended()),
        }
        let start = self.at + 1;
        let mut at = start;
        loop {
            match self.text.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(ended()),
            }
        }
        self.at = at + 1;
        Ok(&self.text[start..at])
    }

    /// A string as it is meant.
    pub fn text(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        let written = self.string()?;
        if !written.contains(&b'\\') {
            return Ok(written.into());
        }
        let quoted = [b"\"", written, b"\""].concat();
        let meant: Result<String, _> = serde_json::from_slice(&quoted);
        meant
            .map(|meant| meant.into_bytes().into())
            .map_err(|_| "a string holds an escape that stands for no character".into())
    }

    /// A number or a word, in quotes or not.
    #[inline]
    pub fn token(&mut self) -> Result<&'a str, Fault> {
        let token = match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{' | b'[') => {
                return Err("a value is of another type than its schema says: a number is expected".into());
            }
            _ => {
                let rest = &self.text[self.at..];
                let is_end =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b'"' | b' ' | b'\t' | b'\n' | b'\r');
                let length = rest.iter().position(is_end).unwrap_or(rest.len());
                if length == 0 {
                    return Err(ended());
                }
                self.at += length;
                &rest[..length]
            }
        };
        std::str::from_utf8(token).map_err(|_| "a number is expected".into())
    }

    /// Passes over a value, and returns it as it is written.
    #[inline]
    pub fn skip(&mut self) -> Result<&'a [u8], Fault> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'{' | b'[') => {
                let mut open = 0_usize;
                loop {
                    match self.text.get(self.at) {
                        Some(b'"') => {
                            self.string()?;
                            continue;
                        }
                        Some(b'{' | b'[') => open += 1,
                        Some(b'}' | b']') => open -= 1,
                        Some(_) => {}
                        None => return Err(ended()),
                    }
                    self.at += 1;
                    if open == 0 {
                        break;
                    }
                }
            }
            _ => {
                self.token()?;
            }
        }
        Ok(&self.text[start..self.at])
    }
}

fn ended() -> Fault {
    "the JSON ends too early".into()
}

/// A whole number: in digits, or written as any other number that is whole.
pub(super) fn whole<T: std::str::FromStr + TryFrom<i128>>(token: &str) -> Result<T, Fault> {
    if let Ok(number) = token.parse() {
        return Ok(number);
    }
    let number: f64 = token.parse().map_err(|_| not(token, "a whole number"))?;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of less than 2^65")]
    let number = (number.fract() == 0.0 && number.abs() < 3e19).then_some(number as i128);
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| not(token, "a whole number of its size"))
}

/// A number, or the name of what is none in JSON.
pub(super) fn double(token: &str) -> Result<f64, Fault> {
    match token {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        // What else Rust reads begins with a letter.
        _ => match token.trim_start_matches(['-', '+']).bytes().next() {
            Some(b'0'..=b'9' | b'.') => token.parse().map_err(|_| not(token, "a number")),
            _ => Err(not(token, "a number")),
        },
    }
}

fn not(token: &str, what: &str) -> Fault {
    let shown: String = token.chars().take(40).collect();
    Fault(format!("{shown} is not {what}").into())
}
