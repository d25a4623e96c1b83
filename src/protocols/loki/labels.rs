//! A stream's labels as text, `{app="api", pod='x'}`, as Prometheus writes a series: names, and values quoted as Go
//! quotes strings.

use crate::limits::KIB;

/// Longest text of a stream's labels, which each of its entries repeats. What Loki takes (15 labels of 3 KiB) fits.
pub const LABELS_BYTES_MAX: usize = 64 * KIB;

/// Calls `each` with every label, in the order of the text. `scratch` is for values with escapes.
pub fn parse(text: &[u8], scratch: &mut Vec<u8>, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), String> {
    let mut text = Text { all: text, at: 0 };
    let name = text.name();
    if !name.is_empty() {
        each(b"__name__", name);
    }
    if !text.take(b'{') {
        return if name.is_empty() { Err(text.expected("`{`")) } else { text.end() };
    }
    loop {
        if text.take(b'}') {
            return text.end();
        }
        let mut quoted_name = Vec::new();
        let name = match text.peek() {
            Some(b'"' | b'\'' | b'`') => text.quoted(&mut quoted_name)?,
            _ => text.name(),
        };
        if name.is_empty() {
            return Err(text.expected("a label's name"));
        }
        if !text.take(b'=') {
            return Err(text.expected("`=`"));
        }
        let value = text.quoted(scratch)?;
        each(name, value);
        if !text.take(b',') && text.peek() != Some(b'}') {
            return Err(text.expected("`,` or `}`"));
        }
    }
}

struct Text<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    fn expected(&self, what: &str) -> String {
        format!("labels cannot be read at byte {}: {what} is expected", self.at)
    }

    /// The next byte behind white space.
    fn peek(&mut self) -> Option<u8> {
        while self.all.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.all.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn end(&mut self) -> Result<(), String> {
        if self.peek().is_none() { Ok(()) } else { Err(self.expected("the end")) }
    }

    /// Letters, digits, `_` and what some senders use beside them; empty where there is no such.
    fn name(&mut self) -> &'a [u8] {
        self.peek();
        let rest = &self.all[self.at..];
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_:.-/".contains(byte) || !byte.is_ascii();
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// A quoted string. One without escapes is a part of the text.
    fn quoted<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], String>
    where
        'a: 's,
    {
        let Some(quote @ (b'"' | b'\'' | b'`')) = self.peek() else {
            return Err(self.expected("a quoted value"));
        };
        self.at += 1;
        let rest = &self.all[self.at..];
        let plain = rest.iter().position(|byte| *byte == quote || (*byte == b'\\' && quote != b'`'));
        let Some(plain) = plain else { return Err(self.expected("a closing quote")) };
        if rest[plain] == quote {
            self.at += plain + 1;
            return Ok(&rest[..plain]);
        }
        scratch.clear();
        loop {
            let Some(byte) = self.all.get(self.at).copied() else { return Err(self.expected("a closing quote")) };
            self.at += 1;
            match byte {
                _ if byte == quote => return Ok(scratch),
                b'\\' => self.escape(scratch)?,
                _ => scratch.push(byte),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        let start = self.at;
        let byte = self.all.get(start).copied().unwrap_or_default();
        self.at += 1;
        let plain = match byte {
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'\\' | b'\'' | b'"' => byte,
            b'x' | b'u' | b'U' | b'0'..=b'7' => {
                let (radix, digits) = match byte {
                    b'x' => (16, 2),
                    b'u' => (16, 4),
                    b'U' => (16, 8),
                    _ => (8, 3),
                };
                self.at -= usize::from(radix == 8);
                let number = self.digits(radix, digits);
                let written = match (byte, number) {
                    (b'u' | b'U', Some(number)) => char::from_u32(number).map(|c| {
                        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    }),
                    // A byte, also where it is no UTF-8 by itself.
                    (_, number) => number.and_then(|number| u8::try_from(number).ok()).map(|byte| out.push(byte)),
                };
                return written.ok_or_else(|| Self { all: self.all, at: start }.expected("an escape of Go"));
            }
            _ => return Err(Self { all: self.all, at: start }.expected("an escape of Go")),
        };
        out.push(plain);
        Ok(())
    }

    fn digits(&mut self, radix: u32, count: usize) -> Option<u32> {
        let digits = self.all.get(self.at..self.at + count)?;
        self.at += count;
        digits.iter().try_fold(0, |number: u32, digit| {
            number.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut found = Vec::new();
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        parse(text.as_bytes(), &mut Vec::new(), |name, value| found.push((text_of(name), text_of(value))))?;
        Ok(found)
    }

    #[test]
    fn labels_are_read_as_prometheus_writes_them() {
        for (text, expected) in [
            ("{}", &[][..]),
            (" { } ", &[]),
            (r#"{a="b"}"#, &[("a", "b")]),
            (r#"{a="b",c="d"}"#, &[("a", "b"), ("c", "d")]),
            (r#"{ a = "b" , c = "d" , }"#, &[("a", "b"), ("c", "d")]),
            (r#"{a=""}"#, &[("a", "")]),
            (r#"{a='it"s',b=`raw\n`}"#, &[("a", "it\"s"), ("b", "raw\\n")]),
            (r#"{a="q\"b\\c\n\t\r\a\b\f\v\'"}"#, &[("a", "q\"b\\c\n\t\r\x07\x08\x0c\x0b'")]),
            (r#"{a="\x41\101\u00e9\U0001F600"}"#, &[("a", "AAé😀")]),
            (r#"{a="\xc3\xa9\377"}"#, &[("a", "é\u{fffd}")]),
            (r#"{"a.b"="c","d\te"="f"}"#, &[("a.b", "c"), ("d\te", "f")]),
            (r#"{a="},{="}"#, &[("a", "},{=")]),
            (r#"up{a="b"}"#, &[("__name__", "up"), ("a", "b")]),
            ("up", &[("__name__", "up")]),
            (r#"{k8s.pod-name/x="b",ü="c"}"#, &[("k8s.pod-name/x", "b"), ("ü", "c")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_are_no_labels_says_where() {
        for (text, at) in [
            ("", 0),
            ("a b", 2),
            ("{", 1),
            ("{a}", 2),
            ("{=}", 1),
            (r#"{a="b""#, 6),
            (r#"{a="b" c="d"}"#, 7),
            (r#"{a=b}"#, 3),
            (r#"{a!="b"}"#, 2),
            (r#"{a="b}"#, 4),
            (r#"{a="\"}"#, 7),
            (r#"{a="\q"}"#, 5),
            (r#"{a="\x4"}"#, 5),
            (r#"{a="\ud800"}"#, 5),
            (r#"{a="\400"}"#, 5),
            (r#"{a="\8"}"#, 5),
            (r#"{a="b"} x"#, 8),
            (r#"{a="\"#, 5),
            (r#"{a="\u12"#, 5),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(&format!("at byte {at}:")), "{text}: {message}");
        }
    }

    #[test]
    fn any_bytes_end_in_labels_or_a_message() {
        let text = br#"up{a="q\"b\\\x41\u00e9\U0001F600", "b"='c',d=`e`,}"#;
        let mut scratch = Vec::new();
        for at in 0..text.len() {
            let _ = parse(&text[..at], &mut scratch, |_, _| ());
            for bit in 0..8 {
                let mut flipped = text.to_vec();
                flipped[at] ^= 1 << bit;
                let _ = parse(&flipped, &mut scratch, |_, _| ());
            }
        }
    }
}
