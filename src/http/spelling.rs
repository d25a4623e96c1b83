//! How a path is spelled.

use std::borrow::Cow;

/// The path with what need not be percent-encoded in the clear: `/v1/%65vents` is `/v1/events` (RFC 3986, 6.2.2.2).
pub fn plain(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return path.into();
    }
    let (mut plain, mut rest) = (String::with_capacity(path.len()), path);
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (written, length) = match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => (char::from(byte), 3),
            _ => ('%', 1),
        };
        plain.push(written);
        rest = &rest[at + length..];
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_has_one_spelling() {
        for (sent, path) in [
            ("/v1/events", "/v1/events"),
            ("/v1/%65vents", "/v1/events"),
            ("/%76%31/e%56ents%7E", "/v1/eVents~"),
            ("/v1/events/a%2Fb%20c%C3%BC", "/v1/events/a%2Fb%20c%C3%BC"),
            ("/v1/events/%2565%", "/v1/events/%2565%"),
            ("/%6", "/%6"),
            ("/%é", "/%é"),
        ] {
            assert_eq!(plain(sent), path);
        }
    }
}
