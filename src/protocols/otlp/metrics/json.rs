//! Requests in JSON, by the mapping of protobuf: names in lowerCamelCase or as in the schema, whole numbers of 64 bits
//! as text or not, enums by number or name, null for what is absent, and what the schema does not know passed over.
//! Members of an object may come in any order, so what belongs to all points is looked for before they are read.

use serde::de::IgnoredAny;

use super::cursor::{Cursor, double, whole};
use super::fault::Fault;
use super::form::{JsonText, boolean, json_attribute};
use super::output::Output;
use super::point::{Buckets, Data, Point, Temporality, add, add_attribute, as_double};
use crate::protocols::Converter;
use crate::protocols::otlp::answer::WHOLE;
use crate::protocols::otlp::value::Attribute;

/// What some editors put before UTF-8 text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether a JSON body is OTLP's and not Tidegate's own: an object that has `resourceMetrics`. Looks no farther than
/// to a name that only an item has.
pub fn is_otlp_json(body: &[u8]) -> bool {
    let mut cursor = begin(body);
    if cursor.peek() != Some(b'{') {
        return false;
    }
    let mut is_otlp = false;
    // The search ends with the first error, which may be none.
    let _ = cursor.object(|cursor, key| match key {
        key if is_metrics(key) => {
            is_otlp = true;
            Err("found".into())
        }
        b"asset_id" | b"metric_name" | b"name" => Err("an item".into()),
        _ => cursor.skip().map(drop),
    });
    is_otlp
}

/// Makes items of a request, or of several behind each other.
pub fn from_json(body: &[u8], into: &mut Converter<'_>) {
    if let Err(Fault(what)) = check(body) {
        let message =
            format!("{what}; send an ExportMetricsServiceRequest in JSON, or say with Content-Type what it is");
        return into.broken(0..body.len(), WHOLE, message);
    }
    let mut reader = Reader { output: Output::new(into), point: Point::default() };
    let mut cursor = begin(body);
    while cursor.peek().is_some() && !reader.output.is_full() {
        if reader.part(&mut cursor, Reader::request).is_err() {
            return;
        }
    }
}

fn begin(body: &[u8]) -> Cursor<'_> {
    Cursor::new(body, if body.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 })
}

/// Whether the body is objects of JSON: what is in them costs itself.
fn check(body: &[u8]) -> Result<(), Fault> {
    let text = &body[begin(body).at()..];
    let mut documents = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    loop {
        let start = documents.byte_offset();
        match documents.next() {
            None => return Ok(()),
            Some(Ok(_)) => check_type(Cursor::new(text, start))?,
            Some(Err(error)) => return Err(Fault(format!("no JSON: {error}").into())),
        }
    }
}

/// Whether a document is a request, as far as its own members show.
fn check_type(mut document: Cursor<'_>) -> Result<(), Fault> {
    if document.peek() != Some(b'{') {
        return Err("the body holds JSON that is no object".into());
    }
    let mut is_wrong = false;
    // The search ends with the first error, which may be none.
    let _ = document.object(|cursor, name| {
        if !is_metrics(name) {
            return cursor.skip().map(drop);
        }
        is_wrong = cursor.peek() != Some(b'[');
        Err("found".into())
    });
    if is_wrong { Err("resourceMetrics is no array".into()) } else { Ok(()) }
}

fn is_metrics(name: &[u8]) -> bool {
    matches!(name, b"resourceMetrics" | b"resource_metrics")
}

struct Reader<'o, 'c, 'b> {
    output: Output<'o, 'c>,
    point: Point<'b>,
}

impl<'b> Reader<'_, '_, 'b> {
    /// Reads the next value. One that is not what the schema says is broken, but for what of it was read; what follows
    /// is read all the same.
    fn part(
        &mut self,
        cursor: &mut Cursor<'b>,
        read: impl FnOnce(&mut Self, &mut Cursor<'b>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut whole = *cursor;
        let start = whole.at();
        let Err(fault) = read(self, cursor) else { return Ok(()) };
        whole.skip()?;
        *cursor = whole;
        self.output.broken(fault, start..cursor.end());
        Ok(())
    }

    /// The same for each element of an array.
    fn parts(
        &mut self,
        cursor: &mut Cursor<'b>,
        mut read: impl FnMut(&mut Self, &mut Cursor<'b>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        cursor.array(|cursor| {
            if self.output.is_full() {
                return cursor.skip().map(drop);
            }
            self.part(cursor, &mut read)
        })
    }

    fn request(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Fault> {
        cursor.object(|cursor, name| match name {
            name if is_metrics(name) => self.parts(cursor, Self::resource_metrics),
            _ => cursor.skip().map(drop),
        })
    }

    fn resource_metrics(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Fault> {
        let (mut is_known, mut waiting) = (false, None);
        cursor.object(|cursor, name| {
            match name {
                b"resource" => {
                    self.resource(Some(*cursor));
                    is_known = true;
                }
                b"scopeMetrics" | b"scope_metrics" if is_known => {
                    waiting = None;
                    return self.parts(cursor, Self::scope_metrics);
                }
                b"scopeMetrics" | b"scope_metrics" => waiting = Some(*cursor),
                _ => {}
            }
            cursor.skip().map(drop)
        })?;
        if !is_known {
            self.resource(None);
        }
        waiting.map_or(Ok(()), |mut cursor| self.parts(&mut cursor, Self::scope_metrics))
    }

    fn resource(&mut self, resource: Option<Cursor<'b>>) {
        self.point.clear();
        let attributes = &mut self.point.attributes;
        let read = resource.map_or(Ok(()), |mut cursor| {
            cursor.object(|cursor, name| match name {
                b"attributes" => read_attributes(cursor, attributes),
                _ => cursor.skip().map(drop),
            })
        });
        self.output.resource::<JsonText>(attributes, read);
    }

    fn scope_metrics(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Fault> {
        let (mut is_known, mut waiting) = (false, None);
        cursor.object(|cursor, name| {
            match name {
                b"scope" => {
                    self.scope(Some(*cursor));
                    is_known = true;
                }
                b"metrics" if is_known => {
                    waiting = None;
                    return self.parts(cursor, Self::metric);
                }
                b"metrics" => waiting = Some(*cursor),
                _ => {}
            }
            cursor.skip().map(drop)
        })?;
        if !is_known {
            self.scope(None);
        }
        waiting.map_or(Ok(()), |mut cursor| self.parts(&mut cursor, Self::metric))
    }

    fn scope(&mut self, scope: Option<Cursor<'b>>) {
        self.point.clear();
        let attributes = &mut self.point.attributes;
        let (mut name, mut version) = Default::default();
        let read = scope.map_or(Ok(()), |mut cursor| {
            cursor.object(|cursor, member| {
                match member {
                    b"name" => name = cursor.text()?,
                    b"version" => version = cursor.text()?,
                    b"attributes" => read_attributes(cursor, attributes)?,
                    _ => drop(cursor.skip()?),
                }
                Ok(())
            })
        });
        self.output.scope::<JsonText>(&name, &version, attributes, read);
    }

    fn metric(&mut self, cursor: &mut Cursor<'b>) -> Result<(), Fault> {
        let (mut name, mut unit, mut data) = (Default::default(), Default::default(), None);
        let mut metadata = 0;
        cursor.object(|cursor, member| {
            match member {
                b"name" => name = cursor.text()?,
                b"unit" => unit = cursor.text()?,
                b"metadata" => {
                    return cursor.array(|cursor| {
                        metadata += 1;
                        cursor.skip().map(drop)
                    });
                }
                b"gauge" | b"sum" | b"histogram" | b"exponentialHistogram" | b"exponential_histogram" | b"summary" => {
                    // Of the fields of a oneof the last one counts.
                    data = Some(read_data(member, cursor)?);
                }
                _ => drop(cursor.skip()?),
            }
            Ok(())
        })?;
        self.output.note("metric_metadata", metadata);
        let Some((kind, points)) = data else {
            self.output.note("empty_metric", 1);
            return Ok(());
        };
        self.output.metric(&name, &unit, kind);
        let Some(mut points) = points else { return Ok(()) };
        points
            .array(|cursor| if self.output.is_full() { cursor.skip().map(drop) } else { self.data_point(kind, cursor) })
    }

    fn data_point(&mut self, kind: Data, cursor: &mut Cursor<'b>) -> Result<(), Fault> {
        let point = &mut self.point;
        point.clear();
        let mut whole = *cursor;
        let start = whole.at();
        let read = match kind {
            Data::Gauge | Data::Sum { .. } => read_number(cursor, point),
            Data::Histogram(_) => read_histogram(cursor, point),
            Data::ExponentialHistogram(_) => read_exponential(cursor, point),
            Data::Summary => read_summary(cursor, point),
        };
        if read.is_err() {
            whole.skip()?;
            *cursor = whole;
        }
        self.output.point::<JsonText>(point, read, start..cursor.end());
        Ok(())
    }
}

/// What a metric's data are, and where its points begin.
fn read_data<'b>(member: &[u8], cursor: &mut Cursor<'b>) -> Result<(Data, Option<Cursor<'b>>), Fault> {
    let (mut temporality, mut monotonic, mut points) = (Temporality::Unspecified, false, None);
    cursor.object(|cursor, name| {
        match name {
            b"aggregationTemporality" | b"aggregation_temporality" => {
                temporality = Temporality::of_text(cursor.token()?)
            }
            b"isMonotonic" | b"is_monotonic" => monotonic = boolean(cursor)?,
            b"dataPoints" | b"data_points" => {
                points = Some(*cursor);
                cursor.skip()?;
            }
            _ => drop(cursor.skip()?),
        }
        Ok(())
    })?;
    let data = match member {
        b"gauge" => Data::Gauge,
        b"sum" => Data::Sum { temporality, monotonic },
        b"histogram" => Data::Histogram(temporality),
        b"summary" => Data::Summary,
        _ => Data::ExponentialHistogram(temporality),
    };
    Ok((data, points))
}

fn read_attributes<'b>(cursor: &mut Cursor<'b>, attributes: &mut Vec<Attribute<'b>>) -> Result<(), Fault> {
    cursor.array(|cursor| add_attribute(attributes, json_attribute(cursor)?))
}

/// What all kinds of points have; whether it was one of these.
#[inline]
fn read_common<'b>(cursor: &mut Cursor<'b>, name: &[u8], point: &mut Point<'b>) -> Result<(), Fault> {
    match name {
        b"attributes" => read_attributes(cursor, &mut point.attributes)?,
        b"timeUnixNano" | b"time_unix_nano" => point.time_ns = whole(cursor.token()?)?,
        b"startTimeUnixNano" | b"start_time_unix_nano" => point.start_ns = whole(cursor.token()?)?,
        b"flags" => point.flags = whole(cursor.token()?)?,
        b"exemplars" => cursor.array(|cursor| {
            point.exemplars += 1;
            cursor.skip().map(drop)
        })?,
        b"count" => point.count = whole(cursor.token()?)?,
        b"sum" => point.sum = Some(double(cursor.token()?)?),
        b"min" => point.min = Some(double(cursor.token()?)?),
        b"max" => point.max = Some(double(cursor.token()?)?),
        _ => drop(cursor.skip()?),
    }
    Ok(())
}

fn read_number<'b>(cursor: &mut Cursor<'b>, point: &mut Point<'b>) -> Result<(), Fault> {
    cursor.object(|cursor, name| {
        match name {
            b"asDouble" | b"as_double" => point.value = Some(double(cursor.token()?)?),
            b"asInt" | b"as_int" => point.value = Some(as_double(whole(cursor.token()?)?)),
            _ => read_common(cursor, name, point)?,
        }
        Ok(())
    })
}

fn read_histogram<'b>(cursor: &mut Cursor<'b>, point: &mut Point<'b>) -> Result<(), Fault> {
    cursor.object(|cursor, name| match name {
        b"bucketCounts" | b"bucket_counts" => cursor.array(|cursor| add(&mut point.counts, whole(cursor.token()?)?)),
        b"explicitBounds" | b"explicit_bounds" => {
            cursor.array(|cursor| add(&mut point.bounds, double(cursor.token()?)?))
        }
        _ => read_common(cursor, name, point),
    })
}

fn read_exponential<'b>(cursor: &mut Cursor<'b>, point: &mut Point<'b>) -> Result<(), Fault> {
    cursor.object(|cursor, name| {
        match name {
            b"scale" => point.scale = whole(cursor.token()?)?,
            b"zeroCount" | b"zero_count" => point.zero_count = whole(cursor.token()?)?,
            b"zeroThreshold" | b"zero_threshold" => point.zero_threshold = double(cursor.token()?)?,
            b"positive" => read_buckets(cursor, &mut point.positive)?,
            b"negative" => read_buckets(cursor, &mut point.negative)?,
            _ => read_common(cursor, name, point)?,
        }
        Ok(())
    })
}

fn read_buckets(cursor: &mut Cursor<'_>, buckets: &mut Buckets) -> Result<(), Fault> {
    cursor.object(|cursor, name| {
        match name {
            b"offset" => buckets.offset = whole(cursor.token()?)?,
            b"bucketCounts" | b"bucket_counts" => {
                cursor.array(|cursor| add(&mut buckets.counts, whole(cursor.token()?)?))?;
            }
            _ => drop(cursor.skip()?),
        }
        Ok(())
    })
}

fn read_summary<'b>(cursor: &mut Cursor<'b>, point: &mut Point<'b>) -> Result<(), Fault> {
    cursor.object(|cursor, name| match name {
        b"quantileValues" | b"quantile_values" => cursor.array(|cursor| {
            let mut quantile = (0.0, 0.0);
            cursor.object(|cursor, name| {
                match name {
                    b"quantile" => quantile.0 = double(cursor.token()?)?,
                    b"value" => quantile.1 = double(cursor.token()?)?,
                    _ => drop(cursor.skip()?),
                }
                Ok(())
            })?;
            add(&mut point.quantiles, quantile)
        }),
        _ => read_common(cursor, name, point),
    })
}
