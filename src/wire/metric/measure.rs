//! What an item measures: the three forms, told apart, and the rules for their numbers.

use super::fields::{Envelope, Field, Member};
use super::number::{Magnitude, double};
use crate::limits::{
    METRIC_COUNT_MAX, METRIC_SUMSQ_MAX, METRIC_SUMSQ_MIN, METRIC_VALUE_MAX, METRIC_VALUE_MIN, METRIC_VALUES_MAX,
};
use crate::wire::item::check::{missing, wrong_type};
use crate::wire::item::reject::{Code, Rejection, excerpt};
use crate::wire::item::scan::{Field as _, JsonType};

/// How far a summary's numbers may be from fitting each other, relative to the largest: its sender added up doubles,
/// or floats.
const TOLERANCE: f64 = 1e-6;

/// What rounding may have made of a sum of squares, relative to it.
const ROUNDING: f64 = 8.0 * f64::EPSILON;

const VALUE: Magnitude = Magnitude { min: METRIC_VALUE_MIN, max: METRIC_VALUE_MAX };
const SUMSQ: Magnitude = Magnitude { min: METRIC_SUMSQ_MIN, max: METRIC_SUMSQ_MAX };
/// Of a count, which has a rule of its own.
const ANY: Magnitude = Magnitude { min: 0.0, max: f64::MAX };

const FORMS: &str = "send value, or values, or count with sum, min and max";

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Measure {
    Sample(f64),
    /// Raw samples; they are in the decoder's scratch.
    Samples,
    /// What somebody else made of many.
    Summary(Summary),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub count: i64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    /// Squares around the mean; None: the spread is not known.
    pub m2: Option<f64>,
}

/// Reads the one form that the item has; `samples` is filled with its `values`.
pub(super) fn measure(envelope: &Envelope<'_>, samples: &mut Vec<f64>) -> Result<Measure, Rejection> {
    let summary = [Field::Count, Field::Sum, Field::Min, Field::Max, Field::Sumsq, Field::Stddev];
    let summarised = summary.into_iter().find(|field| envelope.member(*field).is_some());
    match (envelope.member(Field::Value), envelope.member(Field::Values), summarised) {
        (Some(member), None, None) => number(Field::Value.name(), envelope, member, VALUE).map(Measure::Sample),
        (None, Some(member), None) => {
            values(envelope, member, samples)?;
            Ok(Measure::Samples)
        }
        (None, None, Some(_)) => read_summary(envelope),
        (None, None, None) => Err(missing(Field::Value.name(), FORMS)),
        (value, _, summarised) => {
            let first = if value.is_some() { Field::Value } else { Field::Values };
            let second = summarised.unwrap_or(Field::Values);
            let message = format!("the item has both {} and {}; {FORMS}", first.name(), second.name());
            Err(Rejection::validate(Code::InvalidField, message))
        }
    }
}

fn read_summary(envelope: &Envelope<'_>) -> Result<Measure, Rejection> {
    let required = |field: Field, range: Magnitude| {
        let member = envelope.member(field);
        let member = member.ok_or_else(|| missing(field.name(), "a summary needs count, sum, min and max"))?;
        number(field.name(), envelope, member, range)
    };
    let optional = |field: Field, range: Magnitude| {
        envelope.member(field).map(|member| number(field.name(), envelope, member, range)).transpose()
    };
    let count = count(envelope, required(Field::Count, ANY)?)?;
    let (sum, min, max) = (required(Field::Sum, VALUE)?, required(Field::Min, VALUE)?, required(Field::Max, VALUE)?);
    let n = as_double(count);
    if min > max {
        return Err(unfitting(format!("min is {min} and max is {max}; is one the other?")));
    }
    let largest = min.abs().max(max.abs());
    let slack = TOLERANCE * n * largest;
    if sum < n * min - slack || sum > n * max + slack {
        return Err(unfitting(format!(
            "sum is {sum}, but {count} values between {min} and {max} add up to something between {} and {}",
            n * min,
            n * max
        )));
    }
    let (sumsq, stddev) = (optional(Field::Sumsq, SUMSQ)?, optional(Field::Stddev, VALUE)?);
    let mean = sum / n;
    let m2 = match (sumsq, stddev) {
        (None, None) => None,
        (Some(sumsq), None) if sumsq < 0.0 => {
            return Err(unfitting(format!("sumsq is {sumsq}; squares are not negative")));
        }
        (Some(sumsq), None) => Some(sumsq - sum * mean),
        (None, Some(stddev)) if stddev < 0.0 => {
            return Err(unfitting(format!("stddev is {stddev}; a deviation is not negative")));
        }
        (None, Some(stddev)) => Some(stddev * stddev * (n - 1.0)),
        (Some(_), Some(_)) => {
            let message = "the item has both sumsq and stddev; send the one that was measured";
            return Err(Rejection::validate(Code::InvalidField, message));
        }
    };
    if let Some(m2) = m2 {
        // Of all values, not of a sample.
        let variance = m2 / n;
        // No values between min and max with this mean vary more (Bhatia and Davis).
        let highest = ((max - mean) * (mean - min)).max(0.0);
        let slack = TOLERANCE * largest * largest;
        if variance < -slack || variance > highest + slack {
            let given = if stddev.is_some() { Field::Stddev } else { Field::Sumsq };
            return Err(unfitting(format!(
                "{} does not fit {count} values between {min} and {max} with the sum {sum}; stddev is that of a sample, \
                 and sumsq the sum of squares",
                given.name()
            )));
        }
    }
    if m2.is_some_and(|m2| m2 + sum * mean > METRIC_SUMSQ_MAX) {
        let message = format!("the squares of the values add up to more than {METRIC_SUMSQ_MAX:e}");
        return Err(Rejection::validate(Code::MetricOutOfRange, message));
    }
    let m2 = match sumsq {
        // Sums of squares that the values' own size drowns tell no spread.
        Some(sumsq) if min < max => m2.filter(|m2| *m2 > ROUNDING * sumsq),
        Some(_) => Some(0.0),
        None => m2,
    };
    // One value is a raw sample, also when its sender summarised it.
    Ok(if count == 1 { Measure::Sample(sum) } else { Measure::Summary(Summary { count, sum, min, max, m2 }) })
}

fn unfitting(message: String) -> Rejection {
    Rejection::validate(Code::InvalidField, format!("{message}; send numbers of one set of values"))
}

#[expect(clippy::cast_possible_truncation, reason = "a whole number up to METRIC_COUNT_MAX")]
fn count(envelope: &Envelope<'_>, number: f64) -> Result<i64, Rejection> {
    if number.fract() == 0.0 && (1.0..=as_double(METRIC_COUNT_MAX)).contains(&number) {
        return Ok(number as i64);
    }
    let raw = envelope.member(Field::Count).map_or("", |member| envelope.raw(member.value));
    let message = format!("count is {}; send a whole number from 1 to {METRIC_COUNT_MAX}", excerpt(raw));
    Err(Rejection::validate(Code::InvalidField, message))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to METRIC_COUNT_MAX")]
fn as_double(count: i64) -> f64 {
    count as f64
}

fn number(name: &str, envelope: &Envelope<'_>, member: &Member, range: Magnitude) -> Result<f64, Rejection> {
    let raw = envelope.raw(member.value);
    match member.kind {
        JsonType::Number => double(raw, range).ok_or_else(|| out_of_range(name, raw, range)),
        JsonType::String if is_not_finite(raw) => Err(not_finite(name, raw)),
        _ => Err(wrong_type(member.field, member, "a number")),
    }
}

/// The numbers of an array whose grammar is already checked.
fn values(envelope: &Envelope<'_>, member: &Member, samples: &mut Vec<f64>) -> Result<(), Rejection> {
    samples.clear();
    let expected = format!("an array of 1 to {METRIC_VALUES_MAX} numbers");
    if member.kind != JsonType::Array {
        return Err(wrong_type(Field::Values, member, expected));
    }
    let raw = envelope.raw(member.value);
    let content = raw[1..raw.len() - 1].trim_matches(is_space);
    if content.is_empty() {
        return Err(Rejection::validate(Code::InvalidField, format!("values is empty; send {expected}")));
    }
    // Commas may be inside of what is not a number, and that is refused.
    for (n, text) in content.split(',').enumerate() {
        let text = text.trim_matches(is_space);
        if n == METRIC_VALUES_MAX {
            let message = format!("values has more than {METRIC_VALUES_MAX} numbers; send several items");
            return Err(Rejection::validate(Code::InvalidField, message));
        }
        let name = || format!("values[{n}]");
        match text.bytes().next() {
            Some(b'-' | b'0'..=b'9') => {
                samples.push(double(text, VALUE).ok_or_else(|| out_of_range(&name(), text, VALUE))?);
            }
            _ if is_not_finite(text) => return Err(not_finite(&name(), text)),
            _ => {
                let message = format!("values[{n}] is {}; send {expected}", excerpt(text));
                return Err(Rejection::validate(Code::InvalidField, message));
            }
        }
    }
    Ok(())
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The names, in quotes, that senders give to what JSON has no number for.
fn is_not_finite(raw: &str) -> bool {
    let name = raw.trim_matches('"').trim_start_matches(['+', '-']);
    ["nan", "inf", "infinity"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn not_finite(name: &str, raw: &str) -> Rejection {
    let message = format!("{name} is {}; leave out samples that are no number", excerpt(raw));
    Rejection::validate(Code::MetricNotFinite, message)
}

fn out_of_range(name: &str, raw: &str, Magnitude { min, max }: Magnitude) -> Rejection {
    let message = format!(
        "{name} is {}; its magnitude may be zero, or from {min:e} to {max:e}: send it in another unit",
        excerpt(raw)
    );
    Rejection::validate(Code::MetricOutOfRange, message)
}
