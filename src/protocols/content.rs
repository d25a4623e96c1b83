//! What Content-Type and Content-Encoding say.

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{HeaderMap, StatusCode};

use super::problem::{Problem, ProblemCode};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// gzip, of one or more members.
    Gzip,
    /// Zstandard, of one or more frames.
    Zstd,
}

impl Encoding {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["identity", ""],
            Self::Gzip => &["gzip", "x-gzip"],
            Self::Zstd => &["zstd"],
        }
    }

    /// The encoding of a body, if it is one of `taken`.
    pub fn of(headers: &HeaderMap, taken: &[Self]) -> Result<Self, Problem> {
        let mut named = headers.get_all(CONTENT_ENCODING).iter();
        let name = named.next().map_or(&b""[..], |value| value.as_bytes());
        let is_named = |encoding: &Self| encoding.names().iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes()));
        let found = taken.iter().copied().find(is_named).filter(|_| named.next().is_none());
        found.ok_or_else(|| {
            let names: Vec<&str> = taken.iter().map(|encoding| encoding.names()[0]).collect();
            let detail = format!("Content-Encoding must be one of {}, and only one of them", names.join(", "));
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::UnsupportedEncoding, detail)
        })
    }
}

/// The media type of a body in lower case, without its parameters; None: nothing is said.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().unwrap_or("?");
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn an_encoding_is_found_in_any_case_if_it_is_taken_and_the_only_one() {
        let of = |names: &[&'static str], taken: &[Encoding]| {
            let fields = names.iter().map(|name| (CONTENT_ENCODING, HeaderValue::from_static(name)));
            Encoding::of(&fields.collect(), taken).ok()
        };
        let all = [Encoding::Gzip, Encoding::Zstd, Encoding::Identity];
        assert_eq!(of(&[], &all), Some(Encoding::Identity));
        assert_eq!(of(&["X-GZip"], &all), Some(Encoding::Gzip));
        assert_eq!(of(&["zstd"], &all), Some(Encoding::Zstd));
        assert_eq!(of(&["zstd"], &[Encoding::Gzip]), None);
        assert_eq!(of(&["gzip", "identity"], &all), None);
        assert_eq!(of(&["br"], &all), None);
    }
}
