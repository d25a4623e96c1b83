//! Requests in protobuf (`ExportMetricsServiceRequest`), read field by field as they stand in the body. Fields of a
//! message may come in any order, so what belongs to all points of a message is looked for before they are read.

use std::ops::Range;

use super::fault::Fault;
use super::form::Protobuf;
use super::output::Output;
use super::point::{Buckets, Data, Point, Temporality, add, add_attribute, as_double};
use crate::protocols::Converter;
use crate::protocols::otlp::answer::WHOLE;
use crate::protocols::otlp::value::key_value;
use crate::protocols::protobuf::{Field, Malformed, fields, fixed64s, varints};

/// The kinds of data of a metric, by the numbers of their fields.
const DATA: [u32; 5] = [5, 7, 9, 10, 11];

/// Makes items of a request.
pub fn from_protobuf(body: &[u8], into: &mut Converter<'_>) {
    let request = Message { bytes: body, at: 0 };
    if let Err(malformed) = check(request) {
        let message = format!("{malformed}; send an ExportMetricsServiceRequest, compressed as Content-Encoding says");
        return into.broken(0..body.len(), WHOLE, message);
    }
    let mut output = Output::new(into);
    let mut point = Point::default();
    for resource_metrics in request.messages(1).flatten() {
        resource(resource_metrics, &mut output, &mut point);
        for scope_metrics in resource_metrics.messages(2).flatten() {
            scope(scope_metrics, &mut output, &mut point);
            for metric in scope_metrics.messages(2).flatten() {
                if output.is_full() {
                    return;
                }
                read_metric(metric, &mut output, &mut point);
            }
        }
    }
}

/// A message, and where in the body it begins.
#[derive(Clone, Copy)]
struct Message<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Message<'a> {
    fn fields(self) -> impl Iterator<Item = Result<Field<'a>, Malformed>> {
        fields(self.bytes).map(move |field| field.map_err(|malformed| self.within(malformed)))
    }

    /// The messages in the fields of this number.
    fn messages(self, number: u32) -> impl Iterator<Item = Result<Message<'a>, Malformed>> {
        self.fields().filter_map(move |field| match field {
            Ok(field) if field.number == number => Some(self.message(field)),
            Ok(_) => None,
            Err(malformed) => Some(Err(malformed)),
        })
    }

    fn message(self, field: Field<'a>) -> Result<Message<'a>, Malformed> {
        let at = self.at + field.at;
        field.value.bytes().map(|bytes| Message { bytes, at }).map_err(|malformed| Malformed { at, ..malformed })
    }

    fn within(self, malformed: Malformed) -> Malformed {
        Malformed { at: self.at + malformed.at, ..malformed }
    }

    fn place(self) -> Range<usize> {
        self.at..self.at + self.bytes.len()
    }
}

/// Whether the body is a request, down to its data points: what is in those costs themselves.
fn check(request: Message<'_>) -> Result<(), Malformed> {
    for resource_metrics in request.messages(1) {
        for scope_metrics in resource_metrics?.messages(2) {
            for metric in scope_metrics?.messages(2) {
                let metric = metric?;
                for field in metric.fields() {
                    let field = field?;
                    if DATA.contains(&field.number) {
                        metric.message(field)?.messages(1).try_for_each(|point| point.map(|_| ()))?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn resource<'a>(resource_metrics: Message<'a>, output: &mut Output<'_, '_>, point: &mut Point<'a>) {
    point.clear();
    let attributes = &mut point.attributes;
    let read = resource_metrics.messages(1).try_for_each(|resource| {
        resource?.messages(1).try_for_each(|attribute| add_attribute(attributes, key_value(attribute?.bytes)?))
    });
    output.resource::<Protobuf>(attributes, read);
}

fn scope<'a>(scope_metrics: Message<'a>, output: &mut Output<'_, '_>, point: &mut Point<'a>) {
    point.clear();
    let attributes = &mut point.attributes;
    let (mut name, mut version) = (&b""[..], &b""[..]);
    let read = scope_metrics.messages(1).try_for_each(|scope| {
        for field in scope?.fields() {
            let field = field?;
            match field.number {
                1 => name = field.value.bytes()?,
                2 => version = field.value.bytes()?,
                3 => add_attribute(attributes, key_value(field.value.bytes()?)?)?,
                _ => {}
            }
        }
        Ok(())
    });
    output.scope::<Protobuf>(name, version, attributes, read);
}

fn read_metric<'a>(metric: Message<'a>, output: &mut Output<'_, '_>, point: &mut Point<'a>) {
    let (mut name, mut unit, mut data) = (&b""[..], &b""[..], None);
    let mut metadata = 0;
    for field in metric.fields().flatten() {
        match field.number {
            1 => name = field.value.bytes().unwrap_or_default(),
            3 => unit = field.value.bytes().unwrap_or_default(),
            12 => metadata += 1,
            // Of the fields of a oneof the last one counts.
            number if DATA.contains(&number) => data = metric.message(field).ok().map(|data| (number, data)),
            _ => {}
        }
    }
    output.note("metric_metadata", metadata);
    let Some((number, data)) = data else {
        return output.note("empty_metric", 1);
    };
    output.metric(name, unit, kind(number, data));
    for message in data.messages(1).flatten() {
        if output.is_full() {
            return;
        }
        point.clear();
        let read = match number {
            5 | 7 => read_number(message, point),
            9 => read_histogram(message, point),
            10 => read_exponential(message, point),
            _ => read_summary(message, point),
        };
        output.point::<Protobuf>(point, read, message.place());
    }
}

/// What a metric's data are, as far as it is said beside the points.
fn kind(number: u32, data: Message<'_>) -> Data {
    let (mut temporality, mut monotonic) = (Temporality::Unspecified, false);
    if matches!(number, 7 | 9 | 10) {
        for field in data.fields().flatten() {
            match field.number {
                2 => temporality = Temporality::of_number(field.value.u64().unwrap_or_default()),
                3 => monotonic = field.value.bool().unwrap_or_default(),
                _ => {}
            }
        }
    }
    match number {
        7 => Data::Sum { temporality, monotonic },
        9 => Data::Histogram(temporality),
        10 => Data::ExponentialHistogram(temporality),
        11 => Data::Summary,
        _ => Data::Gauge,
    }
}

fn read_number<'a>(message: Message<'a>, point: &mut Point<'a>) -> Result<(), Fault> {
    for field in message.fields() {
        let Field { number, value, .. } = field?;
        match number {
            2 => point.start_ns = value.u64()?,
            3 => point.time_ns = value.u64()?,
            4 => point.value = Some(value.f64()?),
            5 => point.exemplars += 1,
            6 => point.value = Some(as_double(value.i64()?)),
            7 => point.attribute(key_value(value.bytes()?)?)?,
            8 => point.flags = value.u64()?,
            _ => {}
        }
    }
    Ok(())
}

fn read_histogram<'a>(message: Message<'a>, point: &mut Point<'a>) -> Result<(), Fault> {
    for field in message.fields() {
        let Field { number, value, .. } = field?;
        match number {
            2 => point.start_ns = value.u64()?,
            3 => point.time_ns = value.u64()?,
            4 => point.count = value.u64()?,
            5 => point.sum = Some(value.f64()?),
            6 => all(|each| fixed64s(value, each), |count| add(&mut point.counts, count))?,
            7 => all(|each| fixed64s(value, each), |bits| add(&mut point.bounds, f64::from_bits(bits)))?,
            8 => point.exemplars += 1,
            9 => point.attribute(key_value(value.bytes()?)?)?,
            10 => point.flags = value.u64()?,
            11 => point.min = Some(value.f64()?),
            12 => point.max = Some(value.f64()?),
            _ => {}
        }
    }
    Ok(())
}

fn read_exponential<'a>(message: Message<'a>, point: &mut Point<'a>) -> Result<(), Fault> {
    for field in message.fields() {
        let Field { number, value, .. } = field?;
        match number {
            1 => point.attribute(key_value(value.bytes()?)?)?,
            2 => point.start_ns = value.u64()?,
            3 => point.time_ns = value.u64()?,
            4 => point.count = value.u64()?,
            5 => point.sum = Some(value.f64()?),
            6 => point.scale = small(value.zigzag()?)?,
            7 => point.zero_count = value.u64()?,
            8 => read_buckets(value.bytes()?, &mut point.positive)?,
            9 => read_buckets(value.bytes()?, &mut point.negative)?,
            10 => point.flags = value.u64()?,
            11 => point.exemplars += 1,
            12 => point.min = Some(value.f64()?),
            13 => point.max = Some(value.f64()?),
            14 => point.zero_threshold = value.f64()?,
            _ => {}
        }
    }
    Ok(())
}

fn read_buckets(message: &[u8], buckets: &mut Buckets) -> Result<(), Fault> {
    for field in fields(message) {
        let Field { number, value, .. } = field?;
        match number {
            1 => buckets.offset = small(value.zigzag()?)?,
            2 => all(|each| varints(value, each), |count| add(&mut buckets.counts, count))?,
            _ => {}
        }
    }
    Ok(())
}

fn read_summary<'a>(message: Message<'a>, point: &mut Point<'a>) -> Result<(), Fault> {
    for field in message.fields() {
        let Field { number, value, .. } = field?;
        match number {
            2 => point.start_ns = value.u64()?,
            3 => point.time_ns = value.u64()?,
            4 => point.count = value.u64()?,
            5 => point.sum = Some(value.f64()?),
            6 => {
                let mut quantile = (0.0, 0.0);
                for field in fields(value.bytes()?) {
                    let field = field?;
                    match field.number {
                        1 => quantile.0 = field.value.f64()?,
                        2 => quantile.1 = field.value.f64()?,
                        _ => {}
                    }
                }
                add(&mut point.quantiles, quantile)?;
            }
            7 => point.attribute(key_value(value.bytes()?)?)?,
            8 => point.flags = value.u64()?,
            _ => {}
        }
    }
    Ok(())
}

/// Every number of a field: the first fault of `take` ends it, as far as what follows costs nothing.
fn all(
    numbers: impl FnOnce(&mut dyn FnMut(u64)) -> Result<(), Malformed>,
    mut take: impl FnMut(u64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut taken = Ok(());
    numbers(&mut |number| {
        if taken.is_ok() {
            taken = take(number);
        }
    })?;
    taken
}

fn small(number: i64) -> Result<i32, Fault> {
    i32::try_from(number).map_err(|_| "a number of 32 bits is larger than that".into())
}
