//! Parts of items as text: members of dimensions, and the buckets of histograms.

use super::fault::Fault;
use super::form::Form;
use super::point::{Buckets, Point};
use crate::protocols::convert::Json;
use crate::protocols::otlp::value::Attribute;

/// Writes members of an object into `to`, in the place of what was there.
pub(super) fn rewrite(to: &mut Vec<u8>, write: impl FnOnce(&mut Json<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
    to.clear();
    let mut json = Json::onto(std::mem::take(to));
    let written = write(&mut json);
    *to = json.into_text();
    written
}

/// Writes an attribute as a member, with `prefix` before its key.
pub(super) fn member<F: Form>(json: &mut Json<'_>, prefix: &[u8], (key, value): &Attribute<'_>) -> Result<(), Fault> {
    separate(json);
    json.raw(b"\"");
    json.raw(prefix);
    F::key(json, key);
    json.raw(b"\":");
    match value {
        Some(value) => F::value(json, value),
        None => {
            json.raw(b"null");
            Ok(())
        }
    }
}

/// Before the next member, if it is not the first.
pub(super) fn separate(json: &mut Json<'_>) {
    if !json.is_empty() {
        json.raw(b",");
    }
}

fn list<T>(json: &mut Json<'_>, values: &[T], mut write: impl FnMut(&mut Json<'_>, &T)) {
    json.raw(b"[");
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            json.raw(b",");
        }
        write(json, value);
    }
    json.raw(b"]");
}

/// Writes the buckets of a histogram with bounds, as members behind others.
pub(super) fn explicit(json: &mut Json<'_>, point: &Point<'_>) {
    if !point.counts.is_empty() {
        json.raw(b",\"explicit_bounds\":");
        list(json, &point.bounds, |json, bound| json.f64(*bound));
        json.raw(b",\"bucket_counts\":");
        list(json, &point.counts, |json, count| json.u64(*count));
    }
}

/// The same of an exponential histogram.
pub(super) fn exponential(json: &mut Json<'_>, point: &Point<'_>) {
    json.raw(b",\"scale\":");
    json.i64(point.scale.into());
    json.raw(b",\"zero_count\":");
    json.u64(point.zero_count);
    if point.zero_threshold != 0.0 {
        json.raw(b",\"zero_threshold\":");
        json.f64(point.zero_threshold);
    }
    for (key, Buckets { offset, counts }) in [(&b"positive"[..], &point.positive), (b"negative", &point.negative)] {
        if !counts.is_empty() {
            json.raw(b",");
            json.key(key);
            json.raw(b"{\"offset\":");
            json.i64((*offset).into());
            json.raw(b",\"bucket_counts\":");
            list(json, counts, |json, count| json.u64(*count));
            json.raw(b"}");
        }
    }
}
