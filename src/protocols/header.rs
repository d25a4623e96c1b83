//! Header fields as RFC 9110 writes them (5.6): lists, parameters, quoted strings, and tokens without case.

use std::borrow::Cow;

use hyper::HeaderMap;
use hyper::header::HeaderName;

/// A value with parameters, such as `text/csv; q=0.1`.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameterized {
    /// In lower case.
    pub token: String,
    /// Names in lower case, values without their quotes.
    parameters: Vec<(String, String)>,
}

impl Parameterized {
    pub fn parse(text: &str) -> Self {
        let mut parts = split(text, b';').map(str::trim);
        let token = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameter = |part: &str| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), unquoted(value.trim()).into_owned()))
        };
        Self { token, parameters: parts.filter_map(parameter).collect() }
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// How much one of several is liked; 0: not at all, and so is one whose quality is no number from 0 to 1.
pub fn quality(one: &Parameterized) -> f32 {
    let quality = one.parameter("q").map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
    if (0.0..=1.0).contains(&quality) { quality } else { 0.0 }
}

/// The elements of a list field, over all its lines.
pub fn list(headers: &HeaderMap, name: HeaderName) -> Vec<Parameterized> {
    let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let elements = |line: Cow<'_, str>| {
        let written = split(&line, b',').filter(|element| !element.trim().is_empty());
        written.map(Parameterized::parse).collect::<Vec<_>>()
    };
    lines.flat_map(elements).collect()
}

/// Text without the quotes around it, if there are any, and the backslashes that they ask for.
pub fn unquoted(text: &str) -> Cow<'_, str> {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner.filter(|inner| inner.contains('\\')) else { return inner.unwrap_or(text).into() };
    let mut escaped = false;
    let kept = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    inner.chars().filter(kept).collect::<String>().into()
}

/// Splits where the separator stands outside of quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let found = text.bytes().position(|byte| {
            let special = !std::mem::take(&mut escaped);
            match byte {
                b'"' if special => quoted = !quoted,
                b'\\' if special && quoted => escaped = true,
                _ => {}
            }
            byte == separator && !quoted
        });
        rest = found.map(|at| &text[at + 1..]);
        Some(found.map_or(text, |at| &text[..at]))
    })
}

#[cfg(test)]
mod tests {
    use hyper::header::{ACCEPT, HeaderValue};

    use super::*;

    #[test]
    fn lists_and_parameters() {
        let lines = [r#"Text/CSV ; Header=Present;Q=0.1,, a/b;x="1, 2;\"3\"" ;q=1 , c/d;flag;y = z"#, " ", "e/f"];
        let headers = lines.map(|line| (ACCEPT, HeaderValue::from_static(line))).into_iter().collect();
        let found = list(&headers, ACCEPT);
        let tokens: Vec<&str> = found.iter().map(|element| element.token.as_str()).collect();
        assert_eq!(tokens, ["text/csv", "a/b", "c/d", "e/f"]);
        let parameter = |element: usize, name: &str| found[element].parameter(name);
        assert_eq!((parameter(0, "q"), parameter(0, "header")), (Some("0.1"), Some("Present")));
        assert_eq!((parameter(1, "x"), parameter(1, "q")), (Some("1, 2;\"3\""), Some("1")));
        assert_eq!((parameter(2, "flag"), parameter(2, "y"), parameter(3, "q")), (None, Some("z"), None));
    }

    #[test]
    fn quotes_are_taken_off_as_a_pair() {
        for (text, expected) in [
            ("", ""),
            ("a", "a"),
            ("\"\"", ""),
            ("\"", "\""),
            ("\"a\\\\b\\\"c\"", "a\\b\"c"),
            ("a\"b\"", "a\"b\""),
            ("\"ü%20\"", "ü%20"),
        ] {
            assert_eq!(unquoted(text), expected, "{text}");
        }
    }
}
