//! JSON strings and numbers: their grammar, and what PostgreSQL would refuse in them.

use crate::limits::NUMBER_DIGITS_MAX;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Syntax {
    /// Byte position within the item.
    pub at: usize,
    pub expected: &'static str,
}

/// What cannot be stored in a string.
#[derive(Debug, Clone, Copy)]
pub(super) enum Flaw {
    Nul { at: usize },
    LoneSurrogate { at: usize },
}

pub(super) struct StringEnd {
    /// Just past the closing quote.
    pub end: usize,
    /// Whether it holds a backslash, and so reads differently from its text.
    pub escaped: bool,
    /// The first thing in it that cannot be stored.
    pub flaw: Option<Flaw>,
}

pub(super) struct NumberEnd {
    pub end: usize,
    /// By how many bytes PostgreSQL's text form is longer than what was sent (negative: shorter).
    pub growth: i64,
    pub too_large: bool,
}

/// From this exponent on PostgreSQL refuses a number outright, even a zero (`set_var_from_str` in its numeric.c).
const EXPONENT_REFUSED: i64 = i32::MAX as i64 / 2;

const LOW: u64 = u64::MAX / 255;
const HIGH: u64 = LOW << 7;

/// Marks, in each byte's highest bit, quotes, backslashes and control characters. Only the lowest mark is exact, as
/// borrows travel upwards; only it is used.
const fn marks(word: u64) -> u64 {
    let quote = word ^ (LOW * b'"' as u64);
    let backslash = word ^ (LOW * b'\\' as u64);
    ((quote.wrapping_sub(LOW) & !quote)
        | (backslash.wrapping_sub(LOW) & !backslash)
        | (word.wrapping_sub(LOW * 0x20) & !word))
        & HIGH
}

/// The next byte of a string that is not plain text, from `at`.
#[inline]
pub(super) fn next_special(text: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marked = marks(u64::from_le_bytes(*chunk));
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while text.get(at).is_some_and(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
}

/// Scans a string whose opening quote is at `start`.
pub(super) fn string(text: &[u8], start: usize) -> Result<StringEnd, Syntax> {
    let mut at = start + 1;
    let (mut escaped, mut flaw) = (false, None);
    loop {
        at = next_special(text, at);
        match text.get(at) {
            Some(b'"') => return Ok(StringEnd { end: at + 1, escaped, flaw }),
            Some(b'\\') => {
                escaped = true;
                let escape = escape(text, at)?;
                flaw = flaw.or(escape.flaw);
                at = escape.end;
            }
            Some(_) => return Err(Syntax { at, expected: "control characters in strings to be escaped" }),
            None => return Err(Syntax { at, expected: "the closing quote of a string" }),
        }
    }
}

struct Escape {
    end: usize,
    character: char,
    flaw: Option<Flaw>,
}

/// Reads the escape whose backslash is at `at`; a pair of surrogates is one escape.
fn escape(text: &[u8], at: usize) -> Result<Escape, Syntax> {
    let simple = |character| Ok(Escape { end: at + 2, character, flaw: None });
    match text.get(at + 1) {
        Some(b'"') => simple('"'),
        Some(b'\\') => simple('\\'),
        Some(b'/') => simple('/'),
        Some(b'b') => simple('\u{8}'),
        Some(b'f') => simple('\u{c}'),
        Some(b'n') => simple('\n'),
        Some(b'r') => simple('\r'),
        Some(b't') => simple('\t'),
        Some(b'u') => unicode_escape(text, at),
        _ => Err(Syntax { at, expected: "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u" }),
    }
}

fn unicode_escape(text: &[u8], at: usize) -> Result<Escape, Syntax> {
    let unit = hex4(text, at + 2)?;
    let end = at + 6;
    if unit == 0 {
        return Ok(Escape { end, character: '\0', flaw: Some(Flaw::Nul { at }) });
    }
    if let Some(character) = char::from_u32(unit) {
        return Ok(Escape { end, character, flaw: None });
    }
    if unit < 0xdc00 && text.get(end..end + 2) == Some(b"\\u") {
        let low = hex4(text, end + 2)?;
        if (0xdc00..0xe000).contains(&low)
            && let Some(character) = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
        {
            return Ok(Escape { end: end + 6, character, flaw: None });
        }
    }
    let character = char::REPLACEMENT_CHARACTER;
    Ok(Escape { end, character, flaw: Some(Flaw::LoneSurrogate { at }) })
}

fn hex4(text: &[u8], at: usize) -> Result<u32, Syntax> {
    let digits = text.get(at..at + 4).unwrap_or_default();
    let number = digits.iter().try_fold(0, |sum, &byte| Some(sum * 16 + char::from(byte).to_digit(16)?));
    number.filter(|_| digits.len() == 4).ok_or(Syntax { at, expected: "four hexadecimal digits" })
}

/// Appends what a scanned string (without its quotes) stands for.
pub(super) fn unescape(content: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(plain) = memchr::memchr(b'\\', &content[at..]) {
        out.extend_from_slice(&content[at..at + plain]);
        let Ok(escape) = escape(content, at + plain) else { break };
        out.extend_from_slice(escape.character.encode_utf8(&mut [0; 4]).as_bytes());
        at = escape.end;
    }
    out.extend_from_slice(&content[at..]);
}

/// Scans a number that starts at `start` with a digit or a minus sign.
#[inline]
pub(super) fn number(text: &[u8], start: usize) -> Result<NumberEnd, Syntax> {
    let integer_at = start + usize::from(text[start] == b'-');
    let integer_end = digits_end(text, integer_at);
    if integer_end == integer_at {
        return Err(Syntax { at: integer_at, expected: "a digit" });
    }
    if text[integer_at] == b'0' && integer_end > integer_at + 1 {
        return Err(Syntax { at: integer_at, expected: "a number without leading zeros" });
    }
    let mut end = integer_end;
    let fraction_at = integer_end + 1;
    if text.get(end) == Some(&b'.') {
        end = digits_end(text, fraction_at);
        if end == fraction_at {
            return Err(Syntax { at: end, expected: "a digit after the decimal point" });
        }
    }
    let mantissa_end = end;
    if !matches!(text.get(end), Some(b'e' | b'E')) {
        let digits = end - integer_at - usize::from(end > integer_end);
        return Ok(NumberEnd { end, growth: 0, too_large: digits > NUMBER_DIGITS_MAX });
    }
    let sign_at = end + 1;
    let negative = text.get(sign_at) == Some(&b'-');
    let exponent_at = sign_at + usize::from(matches!(text.get(sign_at), Some(b'-' | b'+')));
    end = digits_end(text, exponent_at);
    if end == exponent_at {
        return Err(Syntax { at: end, expected: "a digit in the exponent" });
    }
    let magnitude = text[exponent_at..end]
        .iter()
        .fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    let exponent = if negative { -magnitude } else { magnitude };
    let fraction = text.get(fraction_at..mantissa_end).unwrap_or_default();
    let (integer_digits, fraction_digits) = expanded(&text[integer_at..integer_end], fraction, exponent);
    let digits = integer_digits.saturating_add(fraction_digits);
    let too_large = digits > signed(NUMBER_DIGITS_MAX) || magnitude >= EXPONENT_REFUSED;
    let point = i64::from(fraction_digits > 0);
    let length = digits.saturating_add(point);
    Ok(NumberEnd { end, growth: length.saturating_sub(signed(end - integer_at)), too_large })
}

/// Integer and fraction digits of PostgreSQL's numeric text form.
fn expanded(integer: &[u8], fraction: &[u8], exponent: i64) -> (i64, i64) {
    let fraction_digits = signed(fraction.len()).saturating_sub(exponent).max(0);
    let zeros = integer.iter().chain(fraction).take_while(|&&digit| digit == b'0').count();
    if zeros == integer.len() + fraction.len() {
        return (1, fraction_digits);
    }
    let integer_digits = (signed(integer.len()) - signed(zeros)).saturating_add(exponent);
    (integer_digits.max(1), fraction_digits)
}

#[inline]
fn digits_end(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion_is_that_of_postgres_numeric() {
        // The right-hand sides are what `select '...'::numeric::text` prints.
        for (literal, text) in [
            ("1e3", "1000"),
            ("1.5e3", "1500"),
            ("1.50e1", "15.0"),
            ("100e-2", "1.00"),
            ("0.001e5", "100"),
            ("0e400", "0"),
            ("0.0e1", "0"),
            ("0e-3", "0.000"),
            ("1e-3", "0.001"),
            ("12.5E+0000001", "125"),
            ("-1e2", "-100"),
        ] {
            let Ok(scanned) = number(literal.as_bytes(), 0) else { panic!("{literal} is a number") };
            let growth = signed(text.len()) - signed(literal.len());
            assert_eq!((scanned.end, scanned.growth), (literal.len(), growth), "{literal}");
        }
    }

    #[test]
    fn the_digit_limit_is_exact() {
        let too_large = |literal: &str| number(literal.as_bytes(), 0).map(|n| n.too_large).ok();
        assert_eq!(too_large("1e1023"), Some(false));
        assert_eq!(too_large("1e1024"), Some(true));
        assert_eq!(too_large("1e-1023"), Some(false));
        assert_eq!(too_large("1e-1024"), Some(true));
        assert_eq!(too_large(&"9".repeat(1024)), Some(false));
        assert_eq!(too_large(&"9".repeat(1025)), Some(true));
        assert_eq!(too_large(&format!("1.{}", "9".repeat(1023))), Some(false));
        assert_eq!(too_large(&format!("1.{}", "9".repeat(1024))), Some(true));
        assert_eq!(too_large("0e1073741822"), Some(false));
        assert_eq!(too_large("0e1073741823"), Some(true));
        assert_eq!(too_large("0e99999999999999999999999"), Some(true));
        assert_eq!(too_large("1e99999999999999999999999"), Some(true));
        assert_eq!(too_large("1e-99999999999999999999999"), Some(true));
    }

    #[test]
    fn special_bytes_are_found_wherever_they_are() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for position in 0..40 {
                let mut text = [0x7f, 0x80, 0xff, b' ', b'!', b'#', b'[', b']', 0xa2, 0xdc].repeat(4);
                text[position] = special;
                assert_eq!(next_special(&text, 0), position, "{special:#x} at {position}");
            }
        }
    }

    #[test]
    fn unescaping_covers_every_escape() {
        let mut out = Vec::new();
        unescape(br#"a\"\\\/\b\f\n\r\t\u0061\ud83d\ude00z"#, &mut out);
        assert_eq!(out, "a\"\\/\u{8}\u{c}\n\r\ta😀z".as_bytes());
        out.clear();
        unescape(br"\ud800\udc00\udbff\udfff", &mut out);
        assert_eq!(out, "\u{10000}\u{10ffff}".as_bytes());
    }
}
