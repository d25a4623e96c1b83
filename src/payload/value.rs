//! A payload's text as a value whose numbers are exactly those that were written.
//!
//! serde_json reads some objects as numbers, by the names of their members (`$serde_json::private::Number`): what senders
//! wrote is read here, by what it is.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::text::unescaped;

/// Why a text is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueError {
    /// No JSON from this byte on.
    Syntax(usize),
    /// An object has this key twice.
    DuplicateKey(String),
    TooDeep(usize),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(at) => write!(f, "it is no JSON from byte {at} on"),
            Self::DuplicateKey(key) => write!(f, "an object has the key {key:?} twice"),
            Self::TooDeep(depth) => write!(f, "it is nested deeper than {depth}"),
        }
    }
}

/// The value that a text is, `depth_max` deep at most: what is recursed over is bounded by it.
pub fn value(text: &str, depth_max: usize) -> Result<Value, ValueError> {
    let mut reader = Reader { text: text.as_bytes(), at: 0, depth_max };
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() { Err(ValueError::Syntax(reader.at)) } else { Ok(value) }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    depth_max: usize,
}

impl<'t> Reader<'t> {
    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self) -> Result<T, ValueError> {
        Err(ValueError::Syntax(self.at))
    }

    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let is = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is);
        is
    }

    fn value(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.space();
        match self.text.get(self.at) {
            Some(b'{' | b'[') if depth == self.depth_max => Err(ValueError::TooDeep(self.depth_max)),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let words = [(&b"true"[..], Value::Bool(true)), (b"false", Value::Bool(false)), (b"null", Value::Null)];
                for (word, value) in words {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                self.wrong()
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.at += 1;
        let mut members = Map::new();
        if self.take(b'}') {
            return Ok(members.into());
        }
        loop {
            self.space();
            let key = self.string()?;
            if !self.take(b':') {
                return self.wrong();
            }
            let value = self.value(depth + 1)?;
            if members.contains_key(&key) {
                return Err(ValueError::DuplicateKey(key));
            }
            members.insert(key, value);
            if self.take(b'}') {
                return Ok(members.into());
            }
            if !self.take(b',') {
                return self.wrong();
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, ValueError> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.take(b']') {
            return Ok(elements.into());
        }
        loop {
            elements.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(elements.into());
            }
            if !self.take(b',') {
                return self.wrong();
            }
        }
    }

    fn string(&mut self) -> Result<String, ValueError> {
        let Some(inside) = self.text[self.at..].strip_prefix(b"\"") else { return self.wrong() };
        let Some(length) = super::walk::string_end(inside) else { return self.wrong() };
        self.at += length + 2;
        Ok(unescaped(&inside[..length]).into_owned())
    }

    fn number(&mut self) -> Result<Value, ValueError> {
        let rest = &self.text[self.at..];
        let length =
            rest.iter().take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')).count();
        let number = std::str::from_utf8(&rest[..length]).ok().and_then(|text| text.parse::<Number>().ok());
        let Some(number) = number else { return self.wrong() };
        self.at += length;
        Ok(number.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_was_written() {
        let text = r#" {"a": [1, -0.10, 1e400, true, false, null], "b\u0041": {"c": "d\n"}, "e": {}, "f": []} "#;
        let read = value(text, 64).expect("JSON");
        assert_eq!(read, serde_json::from_str::<Value>(text).expect("JSON"));
        let numbers: Vec<String> = read["a"].as_array().expect("an array")[..3].iter().map(Value::to_string).collect();
        assert_eq!(numbers, ["1", "-0.10", "1e+400"]);
        let private = r#"{"$serde_json::private::Number":"7"}"#;
        assert_eq!(value(private, 64).expect("JSON")["$serde_json::private::Number"], "7");
    }

    #[test]
    fn what_is_no_value_says_where() {
        for (text, error) in [
            ("", ValueError::Syntax(0)),
            ("{\"a\" 1}", ValueError::Syntax(5)),
            ("[1,]", ValueError::Syntax(3)),
            ("1 2", ValueError::Syntax(2)),
            ("01", ValueError::Syntax(0)),
            ("\"a", ValueError::Syntax(0)),
            ("{\"a\":1,\"a\":2}", ValueError::DuplicateKey("a".into())),
            ("[[[]]]", ValueError::TooDeep(2)),
        ] {
            assert_eq!(value(text, 2), Err(error), "{text}");
        }
    }
}
