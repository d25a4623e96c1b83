//! Reading protobuf (encoding of proto3): fields of a message one after another, as slices of it. Nothing is copied, nothing
//! recurses, and what the schema does not know is passed over.

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Where, from the start of the message that was read.
    pub at: usize,
    pub what: &'static str,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no protobuf at byte {}: {}", self.at, self.what)
    }
}

/// What stands in a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(wrong()) }
    }

    pub fn u64(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(value) | Self::Fixed64(value) => Ok(value),
            Self::Fixed32(value) => Ok(value.into()),
            Self::Bytes(_) => Err(wrong()),
        }
    }

    /// int64 and int32: two's complement. fixed64 is read so as well.
    pub fn i64(self) -> Result<i64, Malformed> {
        if let Self::Fixed32(value) = self { Ok(value.cast_signed().into()) } else { self.u64().map(u64::cast_signed) }
    }

    /// sint64 and sint32.
    pub fn zigzag(self) -> Result<i64, Malformed> {
        self.u64().map(unzigzag)
    }

    pub fn f64(self) -> Result<f64, Malformed> {
        if let Self::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { Err(wrong()) }
    }

    pub fn bool(self) -> Result<bool, Malformed> {
        self.u64().map(|value| value != 0)
    }
}

pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

const fn wrong() -> Malformed {
    Malformed { at: 0, what: "a field is of another type than its schema says" }
}

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
    /// Where its value begins in the message.
    pub at: usize,
}

/// The fields of a message; ends with the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    message: &'a [u8],
    at: usize,
    ended: bool,
}

/// The fields of a message, in the order in which they are sent.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields { message, at: 0, ended: false }
}

impl<'a> Fields<'a> {
    fn fail(&mut self, at: usize, what: &'static str) -> Malformed {
        self.ended = true;
        Malformed { at, what }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.message.get(self.at) {
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        let mut value = 0;
        for shift in 0..10 {
            let Some(byte) = self.message.get(self.at).copied() else {
                return Err(self.fail(start, "a number is cut short"));
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                // The tenth byte has room for one bit.
                return if shift == 9 && byte > 1 { Err(self.fail(start, "a number is too long")) } else { Ok(value) };
            }
        }
        Err(self.fail(start, "a number is too long"))
    }

    #[inline]
    fn take(&mut self, bytes: u64) -> Result<&'a [u8], Malformed> {
        let at = self.at;
        let end = usize::try_from(bytes).ok().and_then(|bytes| at.checked_add(bytes));
        match end.and_then(|end| self.message.get(at..end)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(self.fail(at, "a field is longer than its message")),
        }
    }

    #[inline]
    fn field(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        let mut groups = 0_u32;
        loop {
            if self.at == self.message.len() {
                return if groups == 0 { Ok(None) } else { Err(self.fail(self.at, "a group has no end")) };
            }
            let start = self.at;
            let tag = self.varint()?;
            let number = match u32::try_from(tag >> 3) {
                Ok(number) if number > 0 && number < 1 << 29 => number,
                _ => return Err(self.fail(start, "a field has no valid number")),
            };
            let begin = self.at;
            let (value, at) = match tag & 7 {
                0 => (Value::Varint(self.varint()?), begin),
                1 => {
                    let bytes = self.take(8)?.try_into().expect("8 bytes");
                    (Value::Fixed64(u64::from_le_bytes(bytes)), begin)
                }
                2 => {
                    let length = self.varint()?;
                    let at = self.at;
                    (Value::Bytes(self.take(length)?), at)
                }
                3 => {
                    groups += 1;
                    continue;
                }
                4 if groups > 0 => {
                    groups -= 1;
                    continue;
                }
                5 => {
                    let bytes = self.take(4)?.try_into().expect("4 bytes");
                    (Value::Fixed32(u32::from_le_bytes(bytes)), begin)
                }
                _ => return Err(self.fail(start, "a field has no valid type")),
            };
            if groups == 0 {
                return Ok(Some(Field { number, value, at }));
            }
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended { None } else { self.field().transpose() }
    }
}

/// Numbers of 8 bytes, packed or one alone; calls `each` with the bits of each.
pub fn fixed64s(value: Value<'_>, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    match value {
        Value::Fixed64(bits) => each(bits),
        Value::Bytes(packed) => {
            let (numbers, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(Malformed { at: 0, what: "packed numbers are cut short" });
            }
            numbers.iter().for_each(|bytes| each(u64::from_le_bytes(*bytes)));
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Varints, packed or one alone.
pub fn varints(value: Value<'_>, mut each: impl FnMut(u64)) -> Result<(), Malformed> {
    match value {
        Value::Varint(value) => each(value),
        Value::Bytes(packed) => {
            let mut numbers = fields(packed);
            while numbers.at < packed.len() {
                each(numbers.varint()?);
            }
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Appends a field of bytes: for answers.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field of a varint, unless it is 0, which proto3 does not send.
pub fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value);
    }
}

/// Appends a field of a double.
#[cfg(test)]
pub fn put_f64(out: &mut Vec<u8>, number: u32, value: f64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of a fixed64.
#[cfg(test)]
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn fields_come_with_their_places_and_groups_are_passed_over() {
        let mut message = vec![0x1b, 0x08, 1, 0x23, 0x24, 0x1c];
        put_number(&mut message, 1, 300);
        put_bytes(&mut message, 2, b"ab");
        put_f64(&mut message, 3, 1.5);
        message.extend_from_slice(&[0x25, 1, 0, 0, 0]);
        let found: Vec<_> = fields(&message).map(Result::unwrap).collect();
        let values: Vec<_> = found.iter().map(|field| (field.number, field.value)).collect();
        let bits = 1.5_f64.to_bits();
        assert_eq!(
            values,
            [(1, Value::Varint(300)), (2, Value::Bytes(b"ab")), (3, Value::Fixed64(bits)), (4, Value::Fixed32(1))]
        );
        assert_eq!(&message[found[1].at..found[1].at + 2], b"ab");
        for cut in 1..message.len() {
            let _ = fields(&message[..cut]).collect::<Vec<_>>();
        }
    }

    #[test]
    fn what_is_no_message_is_refused_once() {
        for bytes in [
            &b"\x08"[..],
            b"\x0a\x05ab",
            b"\x00\x01",
            b"\x0f",
            b"\x0c",
            b"\x0b",
            b"\x0b\x08",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x09abc",
            b"\x0dab",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            let found: Vec<_> = fields(bytes).collect();
            assert!(found.len() == 1 && found[0].is_err(), "{bytes:?} {found:?}");
        }
    }

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for value in [0, 1, -1, 64, i64::MAX, i64::MIN] {
            let zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
            let mut packed = Vec::new();
            put_varint(&mut packed, zigzag);
            put_varint(&mut packed, 7);
            let mut found = Vec::new();
            varints(Value::Bytes(&packed), |number| found.push(number)).unwrap();
            assert_eq!((unzigzag(found[0]), found[1]), (value, 7));
        }
        assert_eq!(Value::Varint(u64::MAX).i64(), Ok(-1));
        assert_eq!(Value::Fixed32(u32::MAX).i64(), Ok(-1));
        assert!(
            Value::Varint(1).bytes().is_err() && Value::Bytes(b"").u64().is_err() && Value::Varint(1).f64().is_err()
        );
        assert!(fixed64s(Value::Bytes(b"1234567"), |_| ()).is_err() && varints(Value::Bytes(b"\x80"), |_| ()).is_err());
        let mut found = Vec::new();
        fixed64s(Value::Bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]), |bits| found.push(bits)).unwrap();
        assert_eq!(found, [1, 2]);
    }
}
