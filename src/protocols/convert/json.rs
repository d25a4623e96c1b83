//! JSON, appended to one buffer whose growth is asked for.

use super::Room;
use crate::limits::KIB;
use crate::protocols::problem::Problem;

const FIRST_BYTES: usize = 4 * KIB;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A buffer of JSON. Once there is no room for more, nothing is written any more, and [`Json::finish`] says why.
pub struct Json<'a> {
    out: Vec<u8>,
    /// How much of it has been asked for.
    taken: usize,
    /// What else has been asked for.
    aside: usize,
    room: Room<'a>,
    refused: Option<Problem>,
}

impl<'a> Json<'a> {
    pub fn new(room: Room<'a>) -> Self {
        Self { out: Vec::new(), taken: 0, aside: 0, room, refused: None }
    }

    /// Goes on behind `out`, and asks nobody: for what is bounded otherwise.
    pub fn onto(out: Vec<u8>) -> Self {
        Self { out, taken: usize::MAX, aside: 0, room: Box::new(|_| Ok(())), refused: None }
    }

    /// What was written onto a buffer.
    pub fn into_text(self) -> Vec<u8> {
        self.out
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.refused.is_some()
    }

    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    pub fn finish(self) -> Result<Vec<u8>, Problem> {
        self.refused.map_or(Ok(self.out), Err)
    }

    /// Asks for bytes that are not of the buffer.
    pub fn aside(&mut self, bytes: usize) -> bool {
        self.aside += bytes;
        if let Err(problem) = (self.room)(self.taken.saturating_add(self.aside)) {
            self.refused.get_or_insert(problem);
        }
        self.refused.is_none()
    }

    /// Whether there is room for so many bytes.
    #[inline]
    fn has_room(&mut self, bytes: usize) -> bool {
        self.out.len() + bytes <= self.taken || self.grow(bytes)
    }

    #[cold]
    fn grow(&mut self, bytes: usize) -> bool {
        if self.refused.is_some() {
            return false;
        }
        // Twice as much, or where there is no room for that as much as is needed.
        let needed = (self.out.len() + bytes).max(FIRST_BYTES);
        let mut taken = needed.max(2 * self.taken);
        let mut asked = (self.room)(taken + self.aside);
        if asked.is_err() && needed < taken {
            taken = needed + needed / 8;
            asked = (self.room)(taken + self.aside);
        }
        match asked {
            Ok(()) => {
                self.taken = taken;
                self.out.reserve_exact(taken - self.out.len());
                true
            }
            Err(problem) => {
                self.refused = Some(problem);
                false
            }
        }
    }

    /// Text that is JSON already.
    #[inline]
    pub fn raw(&mut self, text: &[u8]) {
        if self.has_room(text.len()) {
            self.out.extend_from_slice(text);
        }
    }

    /// A string of these bytes. What is not UTF-8 stays so: the item is refused for it when it is decoded.
    pub fn string(&mut self, bytes: &[u8]) {
        self.raw(b"\"");
        self.part(bytes);
        self.raw(b"\"");
    }

    /// A part of a string, without quotes.
    pub fn part(&mut self, bytes: &[u8]) {
        let mut plain = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
                continue;
            }
            self.raw(&bytes[plain..at]);
            plain = at + 1;
            match byte {
                b'"' => self.raw(b"\\\""),
                b'\\' => self.raw(b"\\\\"),
                b'\n' => self.raw(b"\\n"),
                b'\r' => self.raw(b"\\r"),
                b'\t' => self.raw(b"\\t"),
                other => {
                    let hex = |nibble: u8| HEX[usize::from(nibble)];
                    self.raw(&[b'\\', b'u', b'0', b'0', hex(other >> 4), hex(other & 15)]);
                }
            }
        }
        self.raw(&bytes[plain..]);
    }

    /// A string of these bytes in lower-case hex.
    pub fn hex(&mut self, bytes: &[u8]) {
        self.raw(b"\"");
        for byte in bytes {
            self.raw(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        self.raw(b"\"");
    }

    /// A string of these bytes in base64.
    pub fn base64(&mut self, bytes: &[u8]) {
        use base64::Engine as _;
        self.raw(b"\"");
        for chunk in bytes.chunks(3 * KIB) {
            self.raw(base64::engine::general_purpose::STANDARD.encode(chunk).as_bytes());
        }
        self.raw(b"\"");
    }

    /// The key of a member, with its colon.
    pub fn key(&mut self, name: &[u8]) {
        self.string(name);
        self.raw(b":");
    }

    pub fn bool(&mut self, value: bool) {
        self.raw(if value { b"true" } else { b"false" });
    }

    pub fn i64(&mut self, value: i64) {
        self.raw(itoa::Buffer::new().format(value).as_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.raw(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A number; what is none in JSON is a string: `"NaN"`, `"Infinity"`, `"-Infinity"`.
    pub fn f64(&mut self, value: f64) {
        if value.is_finite() {
            self.raw(zmij::Buffer::new().format_finite(value).as_bytes());
        } else if value.is_nan() {
            self.raw(b"\"NaN\"");
        } else {
            self.raw(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
        }
    }

    /// A moment in nanoseconds since 1970, so that it cannot be taken for another unit.
    pub fn timestamp(&mut self, ns: i64) {
        // Fewer digits would be read as larger units: 19 of them are nanoseconds since 2001.
        if ns >= 1_000_000_000_000_000_000 {
            self.i64(ns);
        } else {
            let moment = jiff::Timestamp::from_nanosecond(ns.into());
            self.string(moment.map_or_else(|_| ns.to_string(), |moment| moment.to_string()).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn written(write: impl FnOnce(&mut Json<'_>)) -> String {
        let mut json = Json::new(Box::new(|_| Ok(())));
        write(&mut json);
        String::from_utf8(json.finish().unwrap()).unwrap()
    }

    #[test]
    fn strings_are_what_a_parser_reads_back() {
        let text: String = (0..0x300).filter_map(char::from_u32).chain("\u{2028}😀".chars()).collect();
        let json = written(|json| json.string(text.as_bytes()));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        assert_eq!(written(|json| json.hex(&[0, 0xab, 0xff])), "\"00abff\"");
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        use base64::Engine as _;
        let expected = base64::engine::general_purpose::STANDARD.encode(&bytes);
        assert_eq!(written(|json| json.base64(&bytes)), format!("\"{expected}\""));
    }

    #[test]
    fn numbers_are_written_exactly() {
        for value in [0.0, -0.0, 0.1, 1e300, -1.5e-300, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e21, 123_456_789.0] {
            assert_eq!(written(|json| json.f64(value)).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
        assert_eq!(written(|json| json.f64(f64::NEG_INFINITY)), "\"-Infinity\"");
        assert_eq!(written(|json| json.i64(i64::MIN)), i64::MIN.to_string());
        assert_eq!(written(|json| json.timestamp(1_700_000_000_000_000_001)), "1700000000000000001");
        assert_eq!(written(|json| json.timestamp(999)), "\"1970-01-01T00:00:00.000000999Z\"");
        assert_eq!(written(|json| json.timestamp(-1)), "\"1969-12-31T23:59:59.999999999Z\"");
    }
}
