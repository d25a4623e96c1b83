//! Requests as clients send them: what becomes of their lines, and what they are answered.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod answers;
mod damage;
mod lines;
mod mapping;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::limits::MIB;
use crate::protocols::convert::Converted;
use crate::protocols::params::Segments;
use crate::protocols::problem::ProblemCode;
use crate::protocols::report::{Ending, ItemError};
use crate::wire::item::tuple::Row;
use crate::wire::item::{BodyForm, Decoded, ItemContext, StoredJson, TimeBounds};
use crate::wire::metric::{COPY_COLUMNS, Decoder};

const V1: usize = 0;
const V2: usize = 1;
const V3: usize = 2;

fn with_head<T>(route: usize, query: &str, headers: &[(&'static str, &str)], of: impl FnOnce(&Head<'_>) -> T) -> T {
    let fields =
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    let (headers, path) = (HeaderMap::from_iter(fields), Segments::default());
    of(&Head { route: &ROUTES[route], path: &path, query: Some(query), headers: &headers })
}

fn converted(route: usize, query: &str, body: impl AsRef<[u8]>) -> Result<Converted, Problem> {
    let body = Bytes::copy_from_slice(body.as_ref());
    with_head(route, query, &[], |head| {
        let mut into = Converter::new(Box::new(|_| Ok(())));
        Influx.items(head, &body, &mut into)?;
        into.finish(body.clone())
    })
}

fn items(made: &Converted) -> Vec<Value> {
    made.items
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// The items of a body without broken lines.
fn good(route: usize, query: &str, body: &str) -> Vec<Value> {
    let made = converted(route, query, body).unwrap();
    assert_eq!(made.original.broken, [], "{body}");
    items(&made)
}

fn decoded(made: &Converted) -> Decoded {
    const DAY_US: i64 = 86_400_000_000;
    let received_at_us = 1_700_000_000_000_000;
    let origin = ItemContext {
        tenant_id: "acme",
        api_key_id: Uuid::from_u128(1),
        receipt: Uuid::from_u128(2),
        received_at_us,
        bounds: TimeBounds { oldest_us: received_at_us - 89 * DAY_US, newest_us: received_at_us + 7 * DAY_US },
        item_bytes_max: 16 * MIB,
        stored_json: StoredJson::Jsonb,
        projections: |_| 0,
    };
    let mut decoded = Decoder::new().decode(&made.items, BodyForm::Converted, &origin).unwrap();
    made.original.explain(&mut decoded.rejected);
    decoded
}

/// A body sent, decoded as it is when it is stored, and answered.
fn answered(route: usize, query: &str, body: &str) -> (StatusCode, HeaderMap, Value) {
    let made = converted(route, query, body).unwrap();
    let mut report = Report {
        verdict: Ending::Committed,
        receipt: Uuid::nil(),
        accepted: 0,
        rejected: 0,
        duplicates: 0,
        replayed: false,
        errors: Box::new(std::iter::empty()),
    };
    if !made.items.is_empty() {
        let decoded = decoded(&made);
        report.accepted = decoded.accepted();
        report.rejected = u32::try_from(decoded.rejected.len()).unwrap();
        report.errors = Box::new(decoded.rejected.into_iter().map(|item| ItemError {
            index: item.index,
            code: item.rejection.code.as_str(),
            message: item.rejection.message.to_string().into(),
        }));
    }
    let sent = Sent { body: body.as_bytes(), original: Some(&made.original) };
    told(with_head(route, query, &[], |head| Influx.answer(head, sent, report)))
}

fn told(answer: Answer) -> (StatusCode, HeaderMap, Value) {
    let (parts, body) = answer.into_parts();
    (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
