//! Where a body goes on behind an item that breaks the grammar, told by brackets, quotes and lines alone. One pass that
//! ends at the first such place, so that a body of many broken items is read once.

/// What begins a record of a JSON text sequence (RFC 7464); no JSON can hold it.
pub(super) const RECORD_SEPARATOR: u8 = 0x1e;
/// Levels of brackets whose kind is known.
const LEVELS: usize = 128;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resume {
    /// Where the broken item ends.
    pub end: usize,
    /// Where the body goes on.
    pub next: usize,
    /// A new record begins there, whatever was left open before it.
    pub record: bool,
}

/// The end of the broken value at `start`, whose line begins at `line`. It is past the bracket that closes it; in an
/// array, outside any bracket, at the next comma or closing bracket; or, before either is found, where a new record
/// begins: at a record separator, or at a line that is indented no deeper than this one and begins with a bracket. Not
/// records are lines that stand in an array of the value itself: then all such lines are its own.
pub(super) fn resume(body: &[u8], start: usize, line: usize, in_array: bool) -> Option<Resume> {
    let own_indent = indent(&body[line..]);
    let has_brackets = in_array || matches!(body[start], b'{' | b'[');
    let (mut open, mut objects) = (0usize, 0u128);
    let (mut in_string, mut own_lines) = (false, false);
    // The last byte that is no white space.
    let mut last = 0;
    let mut at = start;
    let ended = |at: usize| Some(Resume { end: at, next: at, record: false });
    while let Some(&byte) = body.get(at) {
        match byte {
            RECORD_SEPARATOR if at > start => {
                return Some(Resume { end: trimmed(body, start, at, in_array), next: at, record: true });
            }
            b'\n' if !own_lines && let Some(next) = record(body, at + 1, own_indent) => {
                let in_own_array = (1..=LEVELS).contains(&open) && objects >> (open - 1) & 1 == 0;
                if in_own_array && !in_string && matches!(last, b',' | b'[') {
                    own_lines = true;
                } else {
                    return Some(Resume { end: trimmed(body, start, at, in_array), next, record: true });
                }
            }
            _ if !has_brackets => {}
            b'\\' if in_string && body.get(at + 1) != Some(&b'\n') => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                if open < LEVELS {
                    objects = objects & !(1 << open) | u128::from(byte == b'{') << open;
                }
                open += 1;
            }
            b'}' | b']' | b',' if open == 0 => return ended(at.max(start + 1)),
            b'}' | b']' => {
                open -= 1;
                if open == 0 {
                    return ended(at + 1);
                }
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            last = byte;
        }
        at += 1;
    }
    None
}

fn indent(line: &[u8]) -> &[u8] {
    &line[..line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()]
}

/// Where the record begins that the line at `line` is.
fn record(body: &[u8], line: usize, indent_max: &[u8]) -> Option<usize> {
    let indent = indent(&body[line..]);
    let start = line + indent.len();
    (indent_max.starts_with(indent) && matches!(body.get(start), Some(b'{' | b'['))).then_some(start)
}

/// Where the item ends that the record at `end` follows, and in an array a comma before that.
fn trimmed(body: &[u8], start: usize, end: usize, in_array: bool) -> usize {
    let item = body[start..end].trim_ascii_end();
    let item = item.strip_suffix(b",").filter(|rest| in_array && !rest.is_empty()).map_or(item, <[u8]>::trim_ascii_end);
    start + item.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str, in_array: bool) -> Option<(&str, &str, bool)> {
        let resume = resume(body.as_bytes(), 0, 0, in_array)?;
        Some((&body[..resume.end], &body[resume.next..], resume.record))
    }

    #[test]
    fn the_first_place_that_is_sure() {
        for (body, in_array, expected) in [
            (r#"{"a":}, x"#, false, Some((r#"{"a":}"#, ", x", false))),
            (r#"{"a":"}\"{"}x"#, false, Some((r#"{"a":"}\"{"}"#, "x", false))),
            ("nul , 5]", true, Some(("nul ", ", 5]", false))),
            ("}]", true, Some(("}", "]", false))),
            // Cut off: in an object, in a string, behind a colon or a comma.
            ("{\"a\":1\r\n{}", false, Some(("{\"a\":1", "{}", true))),
            ("{\"a\":\"x\n[1]", false, Some(("{\"a\":\"x", "[1]", true))),
            ("{\"a\":\"x\\\n{}", false, Some(("{\"a\":\"x\\", "{}", true))),
            ("{\"a\":\n{\"b\":1}\n{}", false, Some(("{\"a\":", "{\"b\":1}\n{}", true))),
            ("{\"a\":1,\n{}", false, Some(("{\"a\":1,", "{}", true))),
            ("{\"a\":1,\n{}", true, Some(("{\"a\":1", "{}", true))),
            ("{\"a\":1 \x1e{}", false, Some(("{\"a\":1", "\x1e{}", true))),
            ("text [] {\n x\n{}", false, Some(("text [] {\n x", "{}", true))),
            // Lines of its own.
            (
                "{\"a\":[\n{\"b\":NaN},\n{\"b\":1}\n]}\n{}",
                false,
                Some(("{\"a\":[\n{\"b\":NaN},\n{\"b\":1}\n]}", "\n{}", false)),
            ),
            ("{\"a\":[\n{\"b\":1},\n{\"b\":1\n", false, None),
            ("{\"a\": {\n  {\"b\":1\n  }\n}}", false, Some(("{\"a\": {\n  {\"b\":1\n  }\n}}", "", false))),
            ("{\"a\":1", false, None),
            ("hello {}", false, None),
        ] {
            assert_eq!(found(body, in_array), expected, "{body}");
        }
    }

    #[test]
    fn a_record_is_indented_no_deeper_than_the_broken_one() {
        for (body, next) in [("  {\"a\n    {}\n \t{}\n  {}", 20), ("  {\"a\n {}", 7), ("  {\"a\n{}\n  {}", 6)] {
            let end = next - body[..next].len() + body[..next].trim_end().len();
            assert_eq!(resume(body.as_bytes(), 2, 0, false), Some(Resume { end, next, record: true }));
        }
    }
}
