//! Writes requests.

use crate::protocols::prometheus::message::Message;
use crate::protocols::protobuf::{put_bytes, put_f64, put_number, put_varint};

/// Names and values.
pub type Labels = Vec<(String, String)>;
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A request on its way.
pub struct Body {
    message: Message,
    symbols: Vec<String>,
    series: Vec<u8>,
}

/// A series on its way.
#[derive(Clone, Default)]
pub struct Series {
    pub labels: Vec<(String, String)>,
    pub samples: Vec<Vec<u8>>,
    pub histograms: Vec<Vec<u8>>,
    pub exemplars: Vec<(Labels, f64, i64)>,
    /// Type, help and unit.
    pub metadata: Option<(u64, String, String)>,
}

pub fn owned(pairs: Pairs<'_>) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub fn series(labels: Pairs<'_>) -> Series {
    Series { labels: owned(labels), ..Series::default() }
}

impl Series {
    pub fn sample(mut self, value: f64, timestamp_ms: i64) -> Self {
        let mut sample = Vec::new();
        put_f64(&mut sample, 1, value);
        put_number(&mut sample, 2, timestamp_ms.cast_unsigned());
        self.samples.push(sample);
        self
    }

    pub fn histogram(mut self, histogram: Vec<u8>) -> Self {
        self.histograms.push(histogram);
        self
    }

    pub fn exemplar(mut self, labels: Pairs<'_>, value: f64, timestamp_ms: i64) -> Self {
        self.exemplars.push((owned(labels), value, timestamp_ms));
        self
    }

    pub fn metadata(mut self, metric: u64, help: &str, unit: &str) -> Self {
        self.metadata = Some((metric, help.to_owned(), unit.to_owned()));
        self
    }
}

impl Body {
    pub fn new(message: Message) -> Self {
        Self { message, symbols: vec![String::new()], series: Vec::new() }
    }

    /// A whole request.
    pub fn of(message: Message, all: &[Series]) -> Vec<u8> {
        let mut body = Self::new(message);
        all.iter().for_each(|series| body.add(series));
        body.finish()
    }

    fn symbol(&mut self, text: &str) -> u64 {
        let at = self.symbols.iter().position(|known| known == text).unwrap_or_else(|| {
            self.symbols.push(text.to_owned());
            self.symbols.len() - 1
        });
        at as u64
    }

    fn labels(&mut self, out: &mut Vec<u8>, labels: &[(String, String)]) {
        let mut references = Vec::new();
        for (name, value) in labels {
            if self.message == Message::Request {
                put_varint(&mut references, self.symbol(name));
                put_varint(&mut references, self.symbol(value));
            } else {
                let mut label = Vec::new();
                put_bytes(&mut label, 1, name.as_bytes());
                put_bytes(&mut label, 2, value.as_bytes());
                put_bytes(out, 1, &label);
            }
        }
        if !references.is_empty() {
            put_bytes(out, 1, &references);
        }
    }

    pub fn add(&mut self, series: &Series) {
        let (histograms, exemplars) = if self.message == Message::Request { (3, 4) } else { (4, 3) };
        let mut out = Vec::new();
        self.labels(&mut out, &series.labels);
        series.samples.iter().for_each(|sample| put_bytes(&mut out, 2, sample));
        series.histograms.iter().for_each(|histogram| put_bytes(&mut out, histograms, histogram));
        for (labels, value, timestamp_ms) in &series.exemplars {
            let mut exemplar = Vec::new();
            self.labels(&mut exemplar, labels);
            put_f64(&mut exemplar, 2, *value);
            put_number(&mut exemplar, 3, timestamp_ms.cast_unsigned());
            put_bytes(&mut out, exemplars, &exemplar);
        }
        if let Some((metric, help, unit)) = &series.metadata {
            let (help, unit) = (self.symbol(help), self.symbol(unit));
            let mut metadata = Vec::new();
            put_number(&mut metadata, 1, *metric);
            put_number(&mut metadata, 3, help);
            put_number(&mut metadata, 4, unit);
            put_bytes(&mut out, 5, &metadata);
        }
        put_bytes(&mut self.series, self.message.series(), &out);
    }

    pub fn finish(self) -> Vec<u8> {
        let mut body = Vec::new();
        if self.message == Message::Request {
            self.symbols.iter().for_each(|symbol| put_bytes(&mut body, 4, symbol.as_bytes()));
        }
        body.extend_from_slice(&self.series);
        body
    }
}

/// A native histogram on its way, of integers.
#[derive(Clone, Default)]
pub struct Histogram {
    pub count: u64,
    pub sum: f64,
    pub schema: i64,
    pub zero: (f64, u64),
    pub negative: (Vec<(i64, u64)>, Vec<i64>),
    pub positive: (Vec<(i64, u64)>, Vec<i64>),
    pub bounds: Vec<f64>,
    pub reset_hint: u64,
    pub start_ms: i64,
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

pub fn spans(out: &mut Vec<u8>, number: u32, spans: &[(i64, u64)]) {
    for (offset, length) in spans {
        let mut span = Vec::new();
        put_number(&mut span, 1, zigzag(*offset));
        put_number(&mut span, 2, *length);
        put_bytes(out, number, &span);
    }
}

pub fn packed(out: &mut Vec<u8>, number: u32, values: &[f64]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    put_bytes(out, number, &bytes);
}

impl Histogram {
    pub fn at(&self, timestamp_ms: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, 1, self.count);
        put_f64(&mut out, 3, self.sum);
        put_number(&mut out, 4, zigzag(self.schema));
        put_f64(&mut out, 5, self.zero.0);
        put_number(&mut out, 6, self.zero.1);
        for (number, (places, deltas)) in [(8, &self.negative), (11, &self.positive)] {
            spans(&mut out, number, places);
            let mut bytes = Vec::new();
            deltas.iter().for_each(|delta| put_varint(&mut bytes, zigzag(*delta)));
            put_bytes(&mut out, number + 1, &bytes);
        }
        put_number(&mut out, 14, self.reset_hint);
        put_number(&mut out, 15, timestamp_ms.cast_unsigned());
        packed(&mut out, 16, &self.bounds);
        put_number(&mut out, 17, self.start_ms.cast_unsigned());
        out
    }
}
