//! Strings of JSON as what they stand for.

use std::borrow::Cow;

/// What the inside of a string (without its quotes) stands for. Halves of surrogate pairs, and bytes that are no UTF-8,
/// become U+FFFD.
pub fn unescaped(inside: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', inside).is_none() {
        return String::from_utf8_lossy(inside);
    }
    let mut out = Vec::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((&escape, behind)) = rest.split_first() else { break };
        rest = behind;
        let plain = match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode(&mut rest),
            other => char::from(other),
        };
        out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out.extend_from_slice(rest);
    Cow::Owned(String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The character behind `\u`.
fn unicode(rest: &mut &[u8]) -> char {
    let Some(first) = four(rest) else { return char::REPLACEMENT_CHARACTER };
    *rest = &rest[4..];
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    let second = rest.strip_prefix(br"\u").and_then(four).filter(|unit| (0xdc00..0xe000).contains(unit));
    let Some(second) = second else { return char::REPLACEMENT_CHARACTER };
    *rest = &rest[6..];
    char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn four(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_what_serde_json_makes_of_them() {
        for text in [r"plain", r#"a\"b\\c\/d\b\f\n\r\t"#, r"\u00e4\u20AC", r"\ud83e\udd80 crab", "ä🦀", ""] {
            let expected: String = serde_json::from_str(&format!("\"{text}\"")).expect(text);
            assert_eq!(unescaped(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn halves_of_pairs_are_replaced() {
        for text in [r"\ud800", r"\udc00", r"\ud800x"] {
            assert!(unescaped(text.as_bytes()).starts_with(char::REPLACEMENT_CHARACTER), "{text}");
        }
        assert_eq!(unescaped(br"\ud800\u0041"), "\u{fffd}A");
        assert_eq!(unescaped(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(unescaped(b"\\n\xff"), "\n\u{fffd}");
    }
}
