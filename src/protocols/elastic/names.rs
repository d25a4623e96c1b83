//! What index, operation and media type say.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::protocols::header::list;
use crate::protocols::problem::Answer;

/// Clients send nothing to a server that does not say so.
const PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");

/// What an action does; the tag of its item's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Index,
    Create,
    Update,
    Delete,
}

impl Op {
    pub const ALL: [Self; 4] = [Self::Index, Self::Create, Self::Update, Self::Delete];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }

    pub const fn tag(self) -> u8 {
        match self {
            Self::Index => 0,
            Self::Create => 1,
            Self::Update => 2,
            Self::Delete => 3,
        }
    }

    pub fn of_tag(tag: u8) -> Self {
        Self::ALL.get(usize::from(tag)).copied().unwrap_or(Self::Index)
    }
}

/// What an index says of the kind of its documents: the data set of a data stream (`logs-nginx.access-default`), else
/// the name without the date at its end, so that tomorrow's index is of the same kind.
pub fn kind_of(index: &str) -> &str {
    const TYPES: [&str; 5] = ["logs", "metrics", "traces", "synthetics", "profiling"];
    let mut parts = index.split('-');
    if let (Some(first), Some(dataset), Some(space), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        && TYPES.contains(&first)
        && !dataset.is_empty()
        && ![dataset, space].into_iter().any(is_date)
    {
        return dataset;
    }
    let dated = |(at, _): (usize, &str)| at > 0 && is_date(&index[at + 1..]);
    let ends = index.match_indices(['-', '_']);
    ends.into_iter().find(|end| dated(*end)).map_or(index, |(at, _)| &index[..at])
}

/// `2026.11.29`, `2026-11`, `20261129`, `2026.11.29.05` and the like.
fn is_date(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_'));
    let century = text.starts_with("19") || text.starts_with("20");
    plain && century && matches!(digits, 6 | 8 | 10) && text.as_bytes().last().is_some_and(u8::is_ascii_digit)
}

/// The headers of every answer; the media type is that of a client which asks for compatibility with a version.
pub fn dress(headers: &HeaderMap, mut answer: Answer) -> Answer {
    let media = compatible(headers, ACCEPT).or_else(|| compatible(headers, CONTENT_TYPE));
    if let Some(media) = media {
        answer.headers_mut().insert(CONTENT_TYPE, media);
    }
    branded(answer)
}

pub fn branded(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(PRODUCT, HeaderValue::from_static("Elasticsearch"));
    answer
}

fn compatible(headers: &HeaderMap, name: HeaderName) -> Option<HeaderValue> {
    let named = list(headers, name);
    let vendor = named.iter().find(|media| media.token.starts_with("application/vnd.elasticsearch+"))?;
    match vendor.parameter("compatible-with")? {
        "7" => Some(HeaderValue::from_static("application/vnd.elasticsearch+json;compatible-with=7")),
        "8" => Some(HeaderValue::from_static("application/vnd.elasticsearch+json;compatible-with=8")),
        "9" => Some(HeaderValue::from_static("application/vnd.elasticsearch+json;compatible-with=9")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_an_index_has_no_date() {
        for (index, kind) in [
            ("logs-nginx.access-default", "nginx.access"),
            ("metrics-system.cpu-prod", "system.cpu"),
            ("logs-2026.11.29-x", "logs-2026.11.29-x"),
            ("filebeat-8.17.0-2026.11.29", "filebeat-8.17.0"),
            ("filebeat-8.17.0-2026.11.29-000001", "filebeat-8.17.0-2026.11.29-000001"),
            ("filebeat-8.17.0", "filebeat-8.17.0"),
            ("logstash-2026.11", "logstash"),
            ("app_logs-2026-11-29", "app_logs"),
            ("app_20261129", "app"),
            ("vector-2026.11.29.05", "vector"),
            ("orders-2026", "orders-2026"),
            ("2026.11.29", "2026.11.29"),
            ("logs-a-b-c", "logs-a-b-c"),
            ("logs--x", "logs--x"),
            ("-2026.11.29", "-2026.11.29"),
            ("ä-2026.11.29", "ä"),
            ("", ""),
        ] {
            assert_eq!(kind_of(index), kind, "{index}");
        }
    }

    #[test]
    fn tags_stand_for_operations() {
        for op in Op::ALL {
            assert_eq!((Op::of_tag(op.tag()), Op::named(op.name())), (op, Some(op)));
        }
        assert_eq!((Op::of_tag(200), Op::named("upsert")), (Op::Index, None));
    }
}
