//! The small messages inside a series.

use super::message::Message;
use crate::protocols::protobuf::{Field, Malformed, fields, varints};

pub fn malformed(error: Malformed) -> String {
    format!("cannot be read: {}", error.what)
}

/// Name and value of a label of 1.0.
#[inline]
pub fn label(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    short_label(message).map_or_else(|| any_label(message), Ok)
}

/// A label as nearly all are sent: both fields once and in order, each shorter than 128 bytes.
#[inline]
fn short_label(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = short_text(message, 0x0a)?;
    let (value, rest) = short_text(rest, 0x12)?;
    rest.is_empty().then_some((name, value))
}

#[inline]
fn short_text(message: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = message.split_first_chunk::<2>()?;
    if head[0] != tag || head[1] >= 0x80 {
        return None;
    }
    rest.split_at_checked(head[1].into())
}

fn any_label(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut value) = Default::default();
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => name = field.value.bytes()?,
            2 => value = field.value.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// What a reference of 2.0 stands for.
pub fn symbol<'a>(symbols: &[&'a [u8]], reference: u64) -> Result<&'a [u8], String> {
    let found = usize::try_from(reference).ok().and_then(|at| symbols.get(at));
    found.copied().ok_or_else(|| format!("refers to symbol {reference}, and there are {}", symbols.len()))
}

/// The labels of a field of references, names and values by turns. `half` holds a name whose value comes in a later
/// field.
pub fn refer<'a>(
    symbols: &[&'a [u8]],
    field: Field<'_>,
    half: &mut Option<&'a [u8]>,
    mut label: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<(), String> {
    let mut outcome = Ok(());
    let each = |reference| match (symbol(symbols, reference), half.take()) {
        (Ok(value), Some(name)) => label(name, value),
        (Ok(name), None) => *half = Some(name),
        (Err(why), _) => outcome = Err(why),
    };
    varints(field.value, each).map_err(malformed)?;
    outcome
}

/// Value, time and start of a sample, in milliseconds.
pub fn sample(message: &[u8]) -> Result<(f64, i64, i64), Malformed> {
    let (mut value, mut timestamp, mut start) = (0.0, 0, 0);
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => value = field.value.f64()?,
            2 => timestamp = field.value.i64()?,
            3 => start = field.value.i64()?,
            _ => {}
        }
    }
    Ok((value, timestamp, start))
}

/// More labels has no exemplar.
const EXEMPLAR_LABELS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub struct Exemplar<'a> {
    pub labels: Vec<(&'a [u8], &'a [u8])>,
    pub value: f64,
    pub timestamp_ms: i64,
}

impl<'a> Exemplar<'a> {
    pub fn read(bytes: &'a [u8], message: Message, symbols: &[&'a [u8]]) -> Result<Self, String> {
        let mut exemplar = Self::default();
        let mut half = None;
        for field in fields(bytes) {
            let field = field.map_err(malformed)?;
            match (field.number, message) {
                (1, Message::WriteRequest) => {
                    exemplar.add(field.value.bytes().and_then(label).map_err(malformed)?);
                }
                (1, Message::Request) => refer(symbols, field, &mut half, |name, value| exemplar.add((name, value)))?,
                (2, _) => exemplar.value = field.value.f64().map_err(malformed)?,
                (3, _) => exemplar.timestamp_ms = field.value.i64().map_err(malformed)?,
                _ => {}
            }
        }
        if half.is_some() {
            return Err("has an odd number of labels_refs; send a name and a value each".into());
        }
        if exemplar.labels.len() > EXEMPLAR_LABELS_MAX {
            return Err(format!("has more than {EXEMPLAR_LABELS_MAX} labels; send fewer"));
        }
        Ok(exemplar)
    }

    fn add(&mut self, label: (&'a [u8], &'a [u8])) {
        if self.labels.len() <= EXEMPLAR_LABELS_MAX {
            self.labels.push(label);
        }
    }
}
