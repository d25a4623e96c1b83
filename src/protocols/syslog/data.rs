//! Structured data of RFC 5424: `[id name="value" ...]`, one after another.

/// Parameters that are told apart; a message of more has its data as text.
const PARAMS_MAX: usize = 256;

/// A parameter of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param<'a> {
    pub id: &'a str,
    /// Empty: the element is there, and this says no more.
    pub name: &'a str,
    /// With its escapes.
    pub value: &'a str,
}

pub enum Unread<'a> {
    Malformed,
    /// It is well-formed, and this follows.
    TooMany(&'a str),
}

/// Reads elements, and returns what follows them.
pub fn read<'a>(text: &'a str, params: &mut Vec<Param<'a>>) -> Result<&'a str, Unread<'a>> {
    let (mut rest, mut count) = (text, 0);
    while let Some(element) = rest.strip_prefix('[') {
        let (id, mut inside) = name(element, &[' ', ']']).ok_or(Unread::Malformed).inspect_err(|_| params.clear())?;
        count += 1;
        take(params, Param { id, name: "", value: "" });
        loop {
            inside = inside.trim_start_matches(' ');
            if let Some(behind) = inside.strip_prefix(']') {
                rest = behind;
                break;
            }
            let Some((name, value, behind)) = param(inside) else {
                params.clear();
                return Err(Unread::Malformed);
            };
            count += 1;
            take(params, Param { id, name, value });
            inside = behind;
        }
    }
    if rest.len() == text.len() {
        return Err(Unread::Malformed);
    }
    if count > PARAMS_MAX {
        params.clear();
        return Err(Unread::TooMany(rest));
    }
    Ok(rest)
}

fn take<'a>(params: &mut Vec<Param<'a>>, param: Param<'a>) {
    if params.len() <= PARAMS_MAX {
        params.push(param);
    }
}

/// A name that one of these ends, and what follows it.
fn name<'a>(text: &'a str, ends: &[char]) -> Option<(&'a str, &'a str)> {
    let end = text.find(|c: char| ends.contains(&c) || matches!(c, ' ' | ']' | '"' | '='))?;
    let (name, rest) = text.split_at(end);
    (!name.is_empty() && rest.starts_with(ends)).then_some((name, rest))
}

fn param(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = name(text, &['='])?;
    let value = rest.strip_prefix("=\"")?;
    let mut escaped = false;
    let end = value.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some((name, &value[..end], &value[end + 1..]))
}

/// A value in pieces without its escapes: `\"`, `\\` and `\]`; before anything else a backslash is one.
pub fn pieces(value: &str, mut piece: impl FnMut(&str)) {
    let mut rest = value;
    while let Some(at) = rest.find('\\') {
        piece(&rest[..at]);
        let escaped = rest[at + 1..].starts_with(['"', '\\', ']']);
        // The escaped character begins the next piece, also where it is a backslash.
        let kept = if escaped { 1 } else { 0 };
        let length = if escaped { 2 } else { 1 };
        piece(&rest[at + kept..at + length]);
        rest = &rest[at + length..];
    }
    piece(rest);
}
