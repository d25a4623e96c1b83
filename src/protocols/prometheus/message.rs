//! The two messages that senders write: where their fields are, and what the items made of them are known by.

use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, StatusCode};

use crate::protocols::header::Parameterized;
use crate::protocols::problem::{Problem, ProblemCode};

/// The message of a request. Content-Type decides it; the header with the protocol's version says nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest` of remote write 1.0.
    WriteRequest,
    /// `io.prometheus.write.v2.Request` of remote write 2.0.
    Request,
}

/// What an item is known by in an answer.
pub mod tag {
    pub const SAMPLE: u8 = 0;
    /// A histogram, or its count.
    pub const HISTOGRAM: u8 = 1;
    /// The sum of the histogram whose count is the item before.
    pub const HISTOGRAM_SUM: u8 = 2;
    pub const EXEMPLAR: u8 = 3;
    /// A series of which nothing could be read.
    pub const SERIES: u8 = 254;
    /// The body as a whole.
    pub const WHOLE: u8 = 255;
}

/// What a series brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    Sample,
    Histogram,
    Exemplar,
}

/// Field of a series: its labels, as messages or as references.
pub const LABELS: u32 = 1;
/// Field of a series of 2.0: what its metric is.
pub const METADATA: u32 = 5;

impl Element {
    /// What an item made of it is known by.
    pub const fn tag(self) -> u8 {
        match self {
            Self::Sample => tag::SAMPLE,
            Self::Histogram => tag::HISTOGRAM,
            Self::Exemplar => tag::EXEMPLAR,
        }
    }
}

impl Message {
    const NAMES: [(&'static str, Self); 2] =
        [("prometheus.WriteRequest", Self::WriteRequest), ("io.prometheus.write.v2.Request", Self::Request)];

    /// The message that a head announces.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut lines = headers.get_all(CONTENT_TYPE).iter();
        // The oldest senders do not say what they send.
        let Some(line) = lines.next() else { return Ok(Self::WriteRequest) };
        let said = line.to_str().ok().filter(|_| lines.next().is_none()).map(Parameterized::parse);
        let found = said.filter(|said| said.token == "application/x-protobuf").and_then(|said| {
            let Some(name) = said.parameter("proto") else { return Some(Self::WriteRequest) };
            Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, message)| message)
        });
        found.ok_or_else(|| {
            let detail = "Content-Type must be application/x-protobuf, with proto=io.prometheus.write.v2.Request for \
                          remote write 2.0";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::UnsupportedMediaType, detail)
        })
    }

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, message)| *message == self).map_or("", |(name, _)| name)
    }

    pub const fn other(self) -> Self {
        match self {
            Self::WriteRequest => Self::Request,
            Self::Request => Self::WriteRequest,
        }
    }

    /// Field of the request: its series.
    pub const fn series(self) -> u32 {
        match self {
            Self::WriteRequest => 1,
            Self::Request => 5,
        }
    }

    /// What stands in a field of a series, if it is something measured.
    pub const fn element(self, field: u32) -> Option<Element> {
        match (self, field) {
            (_, 2) => Some(Element::Sample),
            (Self::WriteRequest, 4) | (Self::Request, 3) => Some(Element::Histogram),
            (Self::WriteRequest, 3) | (Self::Request, 4) => Some(Element::Exemplar),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_content_type_decides() {
        let of = |lines: &[&'static str]| {
            let fields = lines.iter().map(|line| (CONTENT_TYPE, HeaderValue::from_static(line)));
            Message::of(&fields.collect()).map_err(|problem| problem.status().as_u16())
        };
        for one in [&["application/x-protobuf"][..], &["application/x-protobuf;proto=prometheus.WriteRequest"], &[]] {
            assert_eq!(of(one), Ok(Message::WriteRequest), "{one:?}");
        }
        for two in [
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "Application/X-Protobuf ; Proto=\"io.prometheus.write.v2.Request\"; charset=utf-8",
        ] {
            assert_eq!(of(&[two]), Ok(Message::Request), "{two}");
        }
        for none in [
            &["application/json"][..],
            &["image/png"],
            &["application/x-protobuf;proto=io.prometheus.write.v3.Request"],
            &["application/x-protobuf;proto="],
            &[""],
            &["application/x-protobuf", "application/x-protobuf"],
        ] {
            assert_eq!(of(none), Err(415), "{none:?}");
        }
    }
}
