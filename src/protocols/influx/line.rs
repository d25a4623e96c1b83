//! A line: `measurement[,tag=value...] field=value[,field=value...] [timestamp]`. Read as InfluxDB 1 and 2 do
//! (`models.ParsePoints`), or InfluxDB 3 where that differs; a carriage return may stand before the line's end.

use super::fault::Fault;
use super::text::{KEY, MEASUREMENT, TAG_VALUE, TAG_VALUE_3, Text};
use super::value::{Value, value};
use crate::limits::ITEMS_PER_REQUEST_MAX;

/// Tags of a line. InfluxDB takes 64 KiB of them.
const TAGS_MAX: usize = 10_000;
/// Up to so many keys are compared each with each; more are sorted.
const KEYS_FEW: usize = 32;

/// Used for one line after another.
#[derive(Default)]
pub struct Line<'a> {
    pub measurement: Text<'a>,
    pub tags: Vec<(Text<'a>, Text<'a>)>,
    /// No two of one key.
    pub fields: Vec<(Text<'a>, Value<'a>)>,
    /// In the request's precision.
    pub timestamp: Option<i64>,
    /// Fields that another one of the same key followed.
    pub repeated: u64,
}

impl<'a> Line<'a> {
    /// Reads the line that begins at `start`, which is no blank, and says where it ends: at a newline, a carriage
    /// return before one, or the body's end.
    pub fn read(&mut self, body: &'a [u8], start: usize, of_v3: bool) -> Result<usize, Fault> {
        self.tags.clear();
        self.fields.clear();
        (self.timestamp, self.repeated) = (None, 0);
        let (measurement, mut at) = MEASUREMENT.paired(of_v3).read(body, start);
        if measurement.is_empty() {
            return Err(Fault::new(at, "the line has no measurement"));
        }
        self.measurement = measurement;
        while body.get(at) == Some(&b',') {
            at = self.tag(body, at + 1, of_v3)?;
        }
        if !self.tags.is_sorted_by(|one, other| one.0 < other.0) && has_twice(&self.tags) {
            return Err(Fault::new(start, "the line has two tags of the same key"));
        }
        at = after_blanks(body, at);
        loop {
            at = self.field(body, at, of_v3)?;
            if body.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        if has_twice(&self.fields) {
            self.drop_repeated();
        }
        self.end(body, at)
    }

    fn tag(&mut self, body: &'a [u8], start: usize, of_v3: bool) -> Result<usize, Fault> {
        let (key, at) = KEY.paired(of_v3).read(body, start);
        if key.is_empty() {
            return Err(Fault::new(start, "a tag has no key"));
        }
        if body.get(at) != Some(&b'=') {
            return Err(Fault::new(at, "a tag is a key, `=` and a value"));
        }
        let kind = if of_v3 { TAG_VALUE_3 } else { TAG_VALUE };
        let (value, end) = kind.paired(of_v3).read(body, at + 1);
        if value.is_empty() {
            return Err(Fault::new(at + 1, "the tag has no value: leave it out"));
        }
        if body.get(end) == Some(&b'=') {
            return Err(Fault::new(end, "in a tag's value an equals sign is written `\\=`"));
        }
        if self.tags.len() == TAGS_MAX {
            return Err(Fault::new(start, "a line has at most 10,000 tags"));
        }
        self.tags.push((key, value));
        Ok(end)
    }

    #[inline]
    fn field(&mut self, body: &'a [u8], start: usize, of_v3: bool) -> Result<usize, Fault> {
        let (key, at) = KEY.paired(of_v3).read(body, start);
        if body.get(at) != Some(&b'=') {
            let what = match key.is_empty() && self.fields.is_empty() {
                true => "the line has no fields",
                false => {
                    "a field is a key, `=` and a value; blanks, commas and equals signs of a key follow a backslash"
                }
            };
            return Err(Fault::new(at, what));
        }
        if key.is_empty() {
            return Err(Fault::new(at, "a field has no key"));
        }
        let (value, end) = value(body, at + 1)?;
        if self.fields.len() > ITEMS_PER_REQUEST_MAX {
            return Err(Fault::new(start, "a line has at most 100,000 fields, as a request has"));
        }
        self.fields.push((key, value));
        Ok(end)
    }

    /// Reads what stands behind the fields.
    #[inline]
    fn end(&mut self, body: &[u8], fields_end: usize) -> Result<usize, Fault> {
        let start = after_blanks(body, fields_end);
        let negative = body.get(start) == Some(&b'-');
        let mut at = start + usize::from(negative);
        let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        at += digits;
        if digits > 0 {
            let timestamp = std::str::from_utf8(&body[start..at]).ok().and_then(|text| text.parse().ok());
            self.timestamp = Some(timestamp.ok_or(Fault::new(start, "the timestamp does not fit into 64 bits"))?);
            at = after_blanks(body, at);
        }
        match (body.get(at), body.get(at + 1)) {
            (None | Some(b'\n'), _) | (Some(b'\r'), None | Some(b'\n')) if !negative || digits > 0 => Ok(at),
            _ if self.timestamp.is_some() => Err(Fault::new(at, "nothing stands behind the timestamp")),
            _ => Err(Fault::new(at, "behind the fields comes a timestamp, a whole number, or the line's end")),
        }
    }

    /// Of fields of the same key the last one counts.
    #[cold]
    fn drop_repeated(&mut self) {
        let mut order: Vec<usize> = (0..self.fields.len()).collect();
        order.sort_by(|one, other| self.fields[*one].0.cmp(&self.fields[*other].0));
        let mut keep = vec![true; self.fields.len()];
        for pair in order.windows(2) {
            if self.fields[pair[0]].0 == self.fields[pair[1]].0 {
                keep[pair[0]] = false;
            }
        }
        let mut kept = keep.into_iter();
        self.fields.retain(|_| {
            let is_kept = kept.next().unwrap_or(true);
            self.repeated += u64::from(!is_kept);
            is_kept
        });
    }
}

fn after_blanks(body: &[u8], start: usize) -> usize {
    start + body[start..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\0')).count()
}

fn has_twice<T>(pairs: &[(Text<'_>, T)]) -> bool {
    if pairs.len() <= KEYS_FEW {
        return pairs.iter().enumerate().any(|(n, (key, _))| pairs[..n].iter().any(|(other, _)| other == key));
    }
    let mut keys: Vec<&[u8]> = pairs.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Where a broken line that begins at `start` ends, by what it shows of its quotes and backslashes: InfluxDB's
/// `scanLine`. None: in a text that has no end. `by_quotes` is false where they show nothing.
pub fn end_of_broken(body: &[u8], start: usize, by_quotes: bool) -> Option<usize> {
    let (mut in_fields, mut quoted) = (false, false);
    let (mut equals, mut commas) = (0_usize, 0_usize);
    let mut at = start;
    while let Some(byte) = body.get(at) {
        match byte {
            b'\\' if at + 2 < body.len() => at += 1,
            b' ' => in_fields = true,
            b'=' if in_fields && !quoted => equals += 1,
            b',' if in_fields && !quoted => commas += 1,
            b'"' if by_quotes && in_fields && equals > commas => quoted = !quoted,
            b'\n' if !quoted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    (!quoted).then_some(body.len())
}
