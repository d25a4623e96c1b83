//! What Content-Type and Content-Encoding say.

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{HeaderMap, StatusCode};

use super::header::{Parameterized, list};
use super::problem::{Problem, ProblemCode};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// gzip, of one or more members.
    Gzip,
    /// Zstandard, of one or more frames.
    Zstd,
    /// deflate in the zlib format (RFC 9110, 8.4.1.2).
    Deflate,
    /// Snappy's block format, as remote write and Loki send it.
    Snappy,
    /// A message of gRPC behind its length, not compressed or as named.
    Grpc,
    GrpcGzip,
    GrpcZstd,
}

impl Encoding {
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["identity"],
            Self::Gzip => &["gzip", "x-gzip"],
            Self::Zstd => &["zstd"],
            Self::Deflate => &["deflate", "zlib"],
            Self::Snappy => &["snappy"],
            Self::Grpc | Self::GrpcGzip | Self::GrpcZstd => &[],
        }
    }

    /// The encoding of a body, if it is one of `taken`.
    pub fn of(headers: &HeaderMap, taken: &[Self]) -> Result<Self, Problem> {
        if taken.contains(&Self::Grpc) && is_grpc(headers) {
            return Self::of_messages(headers);
        }
        let mut named = list(headers, CONTENT_ENCODING);
        named.retain(|coding| coding.token != "identity");
        let found = match &named[..] {
            [] => taken.iter().find(|encoding| **encoding == Self::Identity),
            [coding] => taken.iter().find(|encoding| encoding.names().contains(&coding.token.as_str())),
            _ => None,
        };
        found.copied().ok_or_else(|| {
            let names: Vec<&str> = taken.iter().filter_map(|encoding| encoding.names().first().copied()).collect();
            let detail = format!("Content-Encoding must be one of {}, and only one of them", names.join(", "));
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::UnsupportedEncoding, detail)
        })
    }

    /// What messages of gRPC are compressed with, if they are.
    fn of_messages(headers: &HeaderMap) -> Result<Self, Problem> {
        match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
            None | Some(b"identity") => Ok(Self::Grpc),
            Some(b"gzip") => Ok(Self::GrpcGzip),
            Some(b"zstd") => Ok(Self::GrpcZstd),
            Some(_) => {
                let detail = "grpc-encoding must be one of identity, gzip, zstd";
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::UnsupportedEncoding, detail))
            }
        }
    }
}

/// Whether a body is framed as gRPC does.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|media_type| matches!(&*media_type, "application/grpc" | "application/grpc+proto"))
}

/// The media type of a body in lower case, without its parameters; None: nothing is said. What is said twice is none
/// that there is.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let text = lines.next()?.to_str().ok().filter(|_| lines.next().is_none());
    Some(text.map_or_else(|| "?".to_owned(), |text| Parameterized::parse(text).token))
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
        assert_eq!(of(&["gzip", "identity"], &all), Some(Encoding::Gzip));
        assert_eq!(of(&[" ZSTD , Identity", ""], &all), Some(Encoding::Zstd));
        assert_eq!(of(&["identity"], &all), Some(Encoding::Identity));
        for none in [&["gzip", "gzip"][..], &["gzip, zstd"], &["br"], &["deflate"], &["aws-chunked"], &["gzipped"]] {
            assert_eq!(of(none, &all), None, "{none:?}");
        }
    }

    #[test]
    fn a_media_type_is_without_case_and_parameters_and_said_once() {
        let of = |lines: &[&'static str]| {
            let fields = lines.iter().map(|line| (CONTENT_TYPE, HeaderValue::from_static(line)));
            media_type(&fields.collect())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["Application/JSON ; Charset=\"UTF-8; x\""]).as_deref(), Some("application/json"));
        for none in [&["text/json", "application/json"][..], &["application/json, text/json"], &[""], &[";"]] {
            let found = of(none).expect("something is said");
            assert!(!["application/json", "text/json"].contains(&found.as_str()), "{found}");
        }
    }
}
