//! JSON text as PostgreSQL's jsonb writes it: members sorted, numbers and strings in one spelling. What it is given has passed
//! the scanner: JSON that jsonb takes, without duplicate keys, and numbers that expand to a bounded length.
//!
//! Nothing recurses over input: what is open is a stack.

use std::ops::Range;

/// A member of an object that is still open.
struct Member {
    /// Its name, unescaped.
    key: Range<usize>,
    /// Name and value as they are written.
    text: Range<usize>,
}

/// An array or object that is still open.
struct Open {
    is_object: bool,
    /// Where its content begins in the text.
    start: usize,
    /// How many members others have that are open.
    members: usize,
    /// Whether the next string of an object is a name.
    before_key: bool,
}

/// Writes canonical text; holds scratch that values share.
#[derive(Default)]
pub(super) struct Canonical {
    text: String,
    keys: String,
    members: Vec<Member>,
    open: Vec<Open>,
    sorted: String,
    unescaped: String,
}

impl Canonical {
    pub fn of(&mut self, json: &str) -> &str {
        self.text.clear();
        self.keys.clear();
        self.members.clear();
        self.open.clear();
        let mut rest = json.trim_start_matches(is_space);
        while let Some(first) = rest.bytes().next() {
            let length = match first {
                b'{' | b'[' => {
                    self.begin();
                    self.text.push(char::from(first));
                    let (is_object, start, members) = (first == b'{', self.text.len(), self.members.len());
                    self.open.push(Open { is_object, start, members, before_key: is_object });
                    1
                }
                b'}' | b']' => {
                    self.close();
                    self.text.push(char::from(first));
                    self.end();
                    1
                }
                b',' => {
                    if let Some(open) = self.open.last_mut() {
                        open.before_key = open.is_object;
                    }
                    1
                }
                b':' => 1,
                b'"' => {
                    let length = string_length(rest);
                    self.string(&rest[1..length - 1]);
                    length
                }
                b'-' | b'0'..=b'9' => {
                    let is_of_number = |c: char| matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9');
                    let length = rest.find(|c| !is_of_number(c)).unwrap_or(rest.len());
                    self.begin();
                    put_number(&rest[..length], &mut self.text);
                    self.end();
                    length
                }
                _ => {
                    let length = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len()).max(1);
                    self.begin();
                    self.text.push_str(&rest[..length]);
                    self.end();
                    length
                }
            };
            rest = rest[length..].trim_start_matches(is_space);
        }
        &self.text
    }

    /// Before a value: what parts it from the one before it in an array.
    fn begin(&mut self) {
        if let Some(open) = self.open.last().filter(|open| !open.is_object)
            && open.start < self.text.len()
        {
            self.text.push_str(", ");
        }
    }

    /// Behind a value: it may be a member's.
    fn end(&mut self) {
        if self.open.last().is_some_and(|open| open.is_object)
            && let Some(member) = self.members.last_mut()
        {
            member.text.end = self.text.len();
        }
    }

    /// A name or a value, from what is between its quotes.
    fn string(&mut self, raw: &str) {
        if let Some(open) = self.open.last_mut().filter(|open| open.before_key) {
            open.before_key = false;
            let (key, text) = (self.keys.len(), self.text.len());
            unescape(raw, &mut self.keys);
            put_quoted(&self.keys[key..], &mut self.text);
            self.text.push_str(": ");
            self.members.push(Member { key: key..self.keys.len(), text: text..self.text.len() });
            return;
        }
        self.begin();
        self.unescaped.clear();
        unescape(raw, &mut self.unescaped);
        put_quoted(&self.unescaped, &mut self.text);
        self.end();
    }

    /// Puts the members of what is closed in jsonb's order: shorter names first, then byte by byte.
    fn close(&mut self) {
        let Some(open) = self.open.pop() else { return };
        if !open.is_object {
            return;
        }
        let members = &mut self.members[open.members..];
        let name = |member: &Member| self.keys[member.key.clone()].as_bytes();
        members.sort_unstable_by(|a, b| (a.key.len(), name(a)).cmp(&(b.key.len(), name(b))));
        self.sorted.clear();
        for (n, member) in members.iter().enumerate() {
            self.sorted.push_str(if n == 0 { "" } else { ", " });
            self.sorted.push_str(&self.text[member.text.clone()]);
        }
        self.text.truncate(open.start);
        self.text.push_str(&self.sorted);
        self.members.truncate(open.members);
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The length of the string at the start, both quotes with it.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let unit = hex(rest);
                rest = rest.get(4..).unwrap_or_default();
                let low = rest.strip_prefix("\\u").map(hex).filter(|low| (0xdc00..0xe000).contains(low));
                let point = match low {
                    Some(low) if (0xd800..0xdc00).contains(&unit) => {
                        rest = rest.get(6..).unwrap_or_default();
                        0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    _ => unit,
                };
                out.push(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
}

fn hex(text: &str) -> u32 {
    text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

/// As jsonb quotes: what must be escaped, and no more.
fn put_quoted(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            control => out.push_str(&format!("\\u{control:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// As numeric writes what it has read: no exponent, and as many digits behind the point as were sent.
fn put_number(text: &str, out: &mut String) {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or_default();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let size = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let scale = size(fraction).saturating_sub(exponent).max(0);
    let significant = digits.trim_start_matches('0');
    // Where the point is, counted from the first significant digit.
    let point = size(whole).saturating_add(exponent) - (size(&digits) - size(significant));
    let digit =
        |at: i64| usize::try_from(at).ok().and_then(|at| significant.as_bytes().get(at)).copied().unwrap_or(b'0');
    if negative && !significant.is_empty() {
        out.push('-');
    }
    if significant.is_empty() || point <= 0 {
        out.push('0');
    } else {
        out.extend((0..point).map(|at| char::from(digit(at))));
    }
    if scale > 0 {
        out.push('.');
        out.extend((point..point + scale).map(|at| if significant.is_empty() { '0' } else { char::from(digit(at)) }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        Canonical::default().of(json).to_owned()
    }

    /// What `SELECT json::jsonb::text` answered on PostgreSQL 15.
    #[test]
    fn text_is_what_jsonb_writes() {
        for (json, text) in [
            ("{}", "{}"),
            (" { } ", "{}"),
            (r#"{"bb":1,"a":2,"c":3}"#, r#"{"a": 2, "c": 3, "bb": 1}"#),
            (
                r#"{"a":[1,[],{},"x",null,true],"b":{"z":1,"y":{"q":[2]}}}"#,
                r#"{"a": [1, [], {}, "x", null, true], "b": {"y": {"q": [2]}, "z": 1}}"#,
            ),
            (r#"{"\u0061":"\u00e4\ud83d\ude00\/\u007f"}"#, "{\"a\": \"ä😀/\u{7f}\"}"),
            (r#"{"k":"\u0001\u001f\b\f\n\r\t\"\\"}"#, r#"{"k": "\u0001\u001f\b\f\n\r\t\"\\"}"#),
            (r#"{"é":1,"zz":2,"z":3}"#, r#"{"z": 3, "zz": 2, "é": 1}"#),
            (r#"["1,2","{\"a\":1}",":"]"#, r#"["1,2", "{\"a\":1}", ":"]"#),
            (
                "[1,1.0,1.50,1e2,1E+2,1.5e1,1.25e-2,-0,-0.0,0e5,0e-3,0.00e1,12.5e5,-7e-1]",
                "[1, 1.0, 1.50, 100, 100, 15, 0.0125, 0, 0.0, 0, 0.000, 0.0, 1250000, -0.7]",
            ),
        ] {
            assert_eq!(canonical(json), text, "{json}");
        }
    }

    #[test]
    fn canonical_text_is_its_own() {
        let text = canonical(r#"{"b":[{"y":"\\\"","x":1e3}],"":{"a b":null}}"#);
        assert_eq!(canonical(&text), text);
    }
}
