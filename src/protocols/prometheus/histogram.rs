//! Reading native histograms: integer and float ones, with exponential buckets or with bounds of their own.

use crate::protocols::convert::Json;
use crate::protocols::protobuf::{Malformed, Value, fields, fixed64s, unzigzag, varints};

/// The value of what has ended: a sample, or a histogram's sum.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Buckets whose bounds are sent.
const CUSTOM: i64 = -53;
/// Buckets whose bounds are powers of 2^(2^-schema). Newer ones are made of coarser and finer ones of these.
const EXPONENTIAL: std::ops::RangeInclusive<i64> = -9..=52;

const GAUGE: u64 = 3;

/// No histogram has more buckets on a side, or bounds.
const BUCKETS_MAX: usize = 1 << 16;

/// A histogram as it was sent. Used for one after another.
#[derive(Default)]
pub struct Histogram {
    pub count: Count,
    pub sum: f64,
    pub schema: i64,
    zero_threshold: f64,
    zero_count: Count,
    negative: Side,
    positive: Side,
    /// Upper bounds of the buckets of schema -53, which have no others.
    bounds: Vec<f64>,
    reset_hint: u64,
    pub timestamp_ms: i64,
    pub start_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Count {
    Whole(u64),
    Float(f64),
}

impl Default for Count {
    fn default() -> Self {
        Self::Whole(0)
    }
}

impl Count {
    #[expect(clippy::cast_precision_loss, reason = "values are doubles; beyond 2^53 the nearest is good enough")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Whole(count) => count as f64,
            Self::Float(count) => count,
        }
    }

    fn write(self, json: &mut Json<'_>) {
        match self {
            Self::Whole(count) => json.u64(count),
            Self::Float(count) => json.f64(count),
        }
    }
}

/// The buckets of one sign.
#[derive(Default)]
struct Side {
    /// How far each lies behind the one before it, and how many buckets it has.
    spans: Vec<(i64, u64)>,
    counts: Vec<Count>,
    /// The last count of those that are sent as differences.
    last: i64,
    is_broken: bool,
}

impl Side {
    fn clear(&mut self) {
        self.spans.clear();
        self.counts.clear();
        (self.last, self.is_broken) = (0, false);
    }

    fn span(&mut self, message: &[u8]) -> Result<(), Malformed> {
        let (mut offset, mut length) = (0, 0);
        for field in fields(message) {
            let field = field?;
            match field.number {
                1 => offset = field.value.zigzag()?,
                2 => length = field.value.u64()?,
                _ => {}
            }
        }
        self.is_broken |= i32::try_from(offset).is_err() || u32::try_from(length).is_err();
        if self.spans.len() <= BUCKETS_MAX {
            self.spans.push((offset, length));
        }
        Ok(())
    }

    fn deltas(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        let Self { counts, last, is_broken, .. } = self;
        varints(value, |delta| match last.checked_add(unzigzag(delta)).map(u64::try_from) {
            Some(Ok(count)) => {
                *last = count.cast_signed();
                if counts.len() <= BUCKETS_MAX {
                    counts.push(Count::Whole(count));
                }
            }
            _ => *is_broken = true,
        })
    }

    fn floats(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        fixed64s(value, |bits| {
            let count = f64::from_bits(bits);
            self.is_broken |= !(0.0..f64::INFINITY).contains(&count);
            if self.counts.len() <= BUCKETS_MAX {
                self.counts.push(Count::Float(count));
            }
        })
    }

    fn check(&self, sign: &str) -> Result<(), String> {
        if self.spans.len().max(self.counts.len()) > BUCKETS_MAX {
            return Err(format!("it has more than {BUCKETS_MAX} {sign} buckets"));
        }
        if self.is_broken {
            return Err(format!("its {sign} buckets have a negative count, or one that is no number"));
        }
        if self.spans.iter().skip(1).any(|(offset, _)| *offset < 0) {
            return Err(format!("its {sign} spans go back"));
        }
        let buckets = self.spans.iter().try_fold(0_u64, |buckets, (_, length)| buckets.checked_add(*length));
        if buckets != u64::try_from(self.counts.len()).ok() {
            let counts = self.counts.len();
            return Err(format!("its {sign} spans have another number of buckets than its {counts} counts"));
        }
        Ok(())
    }

    /// Each bucket's index and count; of as many buckets as the spans have, which are as many as the counts.
    fn buckets(&self) -> impl Iterator<Item = (i64, Count)> {
        let mut next = 0_i64;
        let indexes = self.spans.iter().flat_map(move |(offset, length)| {
            // Both are of 32 bits, and there are no more spans than bytes of a body.
            let start = next.saturating_add(*offset);
            next = start.saturating_add_unsigned(*length);
            start..next
        });
        indexes.zip(&self.counts).map(|(index, count)| (index, *count))
    }

    fn write(&self, sign: &str, json: &mut Json<'_>) {
        if self.counts.is_empty() {
            return;
        }
        json.raw(format!(",\"{sign}_spans\":[").as_bytes());
        for (n, (offset, length)) in self.spans.iter().enumerate() {
            json.raw(if n == 0 { b"[" } else { b",[" });
            json.i64(*offset);
            json.raw(b",");
            json.u64(*length);
            json.raw(b"]");
        }
        json.raw(format!("],\"{sign}_counts\":[").as_bytes());
        for (n, count) in self.counts.iter().enumerate() {
            json.raw(if n == 0 { b"" } else { b"," });
            count.write(json);
        }
        json.raw(b"]");
    }
}

/// A bucket that is not empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// May be infinite, as `upper`.
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
    /// Its bounds grow by a factor.
    pub is_exponential: bool,
}

impl Histogram {
    /// Reads a message in the place of what was read before.
    pub fn read(&mut self, message: &[u8]) -> Result<(), Malformed> {
        (self.count, self.zero_count, self.schema, self.reset_hint) = Default::default();
        (self.sum, self.zero_threshold, self.timestamp_ms, self.start_ms) = Default::default();
        self.negative.clear();
        self.positive.clear();
        self.bounds.clear();
        for field in fields(message) {
            let field = field?;
            let value = field.value;
            match field.number {
                1 => self.count = Count::Whole(value.u64()?),
                2 => self.count = Count::Float(value.f64()?),
                3 => self.sum = value.f64()?,
                4 => self.schema = value.zigzag()?,
                5 => self.zero_threshold = value.f64()?,
                6 => self.zero_count = Count::Whole(value.u64()?),
                7 => self.zero_count = Count::Float(value.f64()?),
                8 => self.negative.span(value.bytes()?)?,
                9 => self.negative.deltas(value)?,
                10 => self.negative.floats(value)?,
                11 => self.positive.span(value.bytes()?)?,
                12 => self.positive.deltas(value)?,
                13 => self.positive.floats(value)?,
                14 => self.reset_hint = value.u64()?,
                15 => self.timestamp_ms = value.i64()?,
                16 => fixed64s(value, |bits| {
                    if self.bounds.len() <= BUCKETS_MAX {
                        self.bounds.push(f64::from_bits(bits));
                    }
                })?,
                17 => self.start_ms = value.i64()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Nothing is measured any more.
    pub fn is_stale(&self) -> bool {
        self.sum.to_bits() == STALE
    }

    /// What it counts may go down: it is no count since a start.
    pub fn is_gauge(&self) -> bool {
        self.reset_hint == GAUGE
    }

    /// Why it is no histogram.
    pub fn check(&self) -> Result<(), String> {
        self.negative.check("negative")?;
        self.positive.check("positive")?;
        let counts = [self.count.as_f64(), self.zero_count.as_f64()];
        if counts.iter().any(|count| !(0.0..f64::INFINITY).contains(count)) {
            return Err("its count is negative or no number".into());
        }
        if self.schema == CUSTOM {
            self.check_custom()?;
        } else if !EXPONENTIAL.contains(&self.schema) {
            return Err(format!("its schema {} is not known", self.schema));
        }
        if let Count::Whole(count) = self.count {
            let of_buckets = self.negative.buckets().chain(self.positive.buckets()).map(|(_, count)| count);
            let observed = of_buckets.chain([self.zero_count]).try_fold(0_u64, |observed, count| match count {
                Count::Whole(count) => observed.checked_add(count),
                Count::Float(_) => None,
            });
            // What is NaN is in no bucket.
            let fits = observed.is_some_and(|observed| observed == count || (self.sum.is_nan() && observed < count));
            if !fits {
                let observed = observed.map_or_else(|| "something else".to_owned(), |observed| observed.to_string());
                return Err(format!("its count is {count}, and its buckets have {observed}"));
            }
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), String> {
        if !self.negative.counts.is_empty() || self.zero_count.as_f64() != 0.0 {
            return Err("it has bounds of its own, and negative or zero buckets beside them".into());
        }
        if self.bounds.len() > BUCKETS_MAX {
            return Err(format!("it has more than {BUCKETS_MAX} custom values"));
        }
        if self.bounds.iter().any(|bound| bound.is_nan()) || !self.bounds.is_sorted_by(|a, b| a < b) {
            return Err("its custom values do not increase".into());
        }
        let bounds = i64::try_from(self.bounds.len()).unwrap_or(i64::MAX);
        if self.positive.buckets().any(|(index, _)| !(0..=bounds).contains(&index)) {
            return Err(format!("it has a bucket beyond its {bounds} custom values"));
        }
        Ok(())
    }

    /// The buckets that are not empty, the one around zero among them.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let is_exponential = self.schema != CUSTOM;
        let positive = self.positive.buckets().map(move |(index, count)| {
            let (lower, upper) = (self.bound(index.saturating_sub(1)), self.bound(index));
            Bucket { lower, upper, count: count.as_f64(), is_exponential }
        });
        let negative = self.negative.buckets().map(move |(index, count)| {
            let (lower, upper) = (-self.bound(index), -self.bound(index.saturating_sub(1)));
            Bucket { lower, upper, count: count.as_f64(), is_exponential }
        });
        // Where there is nothing on one side of zero, what is around zero is on the other.
        let reach = |side: &Side| if side.counts.is_empty() { 0.0 } else { self.zero_threshold.abs() };
        let (mut lower, mut upper) = (-reach(&self.negative), reach(&self.positive));
        if (lower, upper) == (0.0, 0.0) {
            (lower, upper) = (-self.zero_threshold.abs(), self.zero_threshold.abs());
        }
        let zero = Bucket { lower, upper, count: self.zero_count.as_f64(), is_exponential: false };
        negative.chain([zero]).chain(positive).filter(|bucket| bucket.count > 0.0)
    }

    /// The upper bound of a bucket.
    fn bound(&self, index: i64) -> f64 {
        if self.schema == CUSTOM {
            let bound = usize::try_from(index).map(|index| self.bounds.get(index).copied().unwrap_or(f64::INFINITY));
            return bound.unwrap_or(f64::NEG_INFINITY);
        }
        let number = |number: i64| f64::from(i32::try_from(number).unwrap_or(i32::MAX));
        let index = if index < i64::from(i32::MIN) { f64::from(i32::MIN) } else { number(index) };
        (index * (-number(self.schema)).exp2()).exp2()
    }

    /// Its buckets as a member of an item, with counts of each where differences were sent.
    pub fn write_buckets(&self, json: &mut Json<'_>) {
        json.raw(b",\"buckets\":{\"schema\":");
        json.i64(self.schema);
        if self.schema != CUSTOM {
            json.raw(b",\"zero_threshold\":");
            json.f64(self.zero_threshold);
            json.raw(b",\"zero_count\":");
            self.zero_count.write(json);
        }
        self.negative.write("negative", json);
        self.positive.write("positive", json);
        if !self.bounds.is_empty() {
            json.raw(b",\"custom_values\":[");
            for (n, bound) in self.bounds.iter().enumerate() {
                json.raw(if n == 0 { b"" } else { b"," });
                json.f64(*bound);
            }
            json.raw(b"]");
        }
        json.raw(b"}");
    }
}
