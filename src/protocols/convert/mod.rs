//! Where a protocol writes the items that it makes of a body: JSON, one item a line, each with its place in what was
//! sent. Memory is asked for before it is taken.

mod json;
mod series;

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::problem::{Problem, ProblemCode};
use crate::limits::ITEMS_PER_REQUEST_MAX;
use crate::wire::item::converted::BROKEN_ITEM;
use crate::wire::item::{Broken, Original, Place};

pub use json::Json;
pub use series::{SeriesText, fitting};

/// Asked for so many bytes, all together, before they are taken.
pub type Room<'a> = Box<dyn FnMut(usize) -> Result<(), Problem> + 'a>;

/// Receives the items of one body, in their order.
pub struct Converter<'a> {
    json: Json<'a>,
    /// Where the item begins that is being written.
    line: usize,
    places: Vec<Place>,
    broken: Vec<Broken>,
    notes: BTreeMap<&'static str, u64>,
    /// The sender says nothing that tells two equal requests apart: they may both be meant.
    repeats: bool,
}

/// What a body became.
#[derive(Debug)]
pub struct Converted {
    /// Items in the form [`crate::wire::item::BodyForm::Converted`].
    pub items: Bytes,
    pub original: Original,
    /// What was sent and is stored otherwise, or is not: how often.
    pub notes: BTreeMap<&'static str, u64>,
    /// Whether equal bodies may be one request that is sent again.
    pub dedupe: bool,
}

impl<'a> Converter<'a> {
    pub fn new(room: Room<'a>) -> Self {
        let (places, broken, notes) = Default::default();
        Self { json: Json::new(room), line: 0, places, broken, notes, repeats: false }
    }

    /// Where the item is written that comes next, from `{` to `}`.
    pub fn item(&mut self) -> &mut Json<'a> {
        &mut self.json
    }

    /// Ends the item, which was made of these bytes of the body.
    pub fn end(&mut self, place: Range<usize>, tag: u8) {
        self.json.raw(b"\n");
        self.line = self.json.len();
        // One more is enough to be refused.
        if self.places.len() <= ITEMS_PER_REQUEST_MAX {
            let at = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            self.places.push(Place { start: at(place.start), end: at(place.end), tag });
        }
    }

    /// Forgets what was written of an item that is not ended.
    pub fn undo(&mut self) {
        self.json.truncate(self.line);
    }

    /// Says that no item can be made of these bytes, and why; what was written of one is forgotten. It becomes a dead
    /// letter.
    pub fn broken(&mut self, place: Range<usize>, tag: u8, message: impl Into<String>) {
        self.undo();
        if self.places.len() < ITEMS_PER_REQUEST_MAX && !self.json.is_full() {
            let item = u32::try_from(self.places.len()).expect("items of a request are limited");
            let message = message.into();
            self.json.aside(size_of::<Broken>() + message.len());
            self.broken.push(Broken { item, message });
        }
        self.json.raw(BROKEN_ITEM);
        self.end(place, tag);
    }

    /// Counts what is stored otherwise than it was sent, or not at all, and is no reason to refuse: a name of docs/PROTOCOLS.md.
    pub fn note(&mut self, name: &'static str, count: u64) {
        *self.notes.entry(name).or_default() += count;
    }

    /// Nothing in the body tells it from another one with the same bytes that is meant as well.
    pub fn repeats(&mut self) {
        self.repeats = true;
    }

    /// Asks for so many bytes beside the items, until they are made; false where there is no room for them.
    pub fn aside(&mut self, bytes: usize) -> bool {
        self.json.aside(bytes)
    }

    /// How many items there are so far.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Whether no more is taken: there was no memory, or are too many items.
    pub fn is_full(&self) -> bool {
        self.json.is_full() || self.places.len() > ITEMS_PER_REQUEST_MAX
    }

    /// Appends a sample of this series, an item of its own; None: at the time of receipt. What is no finite number is not
    /// stored, but noted.
    pub fn sample(&mut self, series: &SeriesText, timestamp_ns: Option<i64>, value: f64, place: Range<usize>, tag: u8) {
        if !value.is_finite() {
            self.note(if value.is_nan() { "not_a_number" } else { "infinite" }, 1);
            return;
        }
        self.begin(series, timestamp_ns);
        self.json.raw(b",\"value\":");
        self.json.f64(value);
        self.json.raw(b"}");
        self.end(place, tag);
    }

    /// Writes the item's series and time, and leaves the object open for what was measured.
    pub fn begin(&mut self, series: &SeriesText, timestamp_ns: Option<i64>) {
        self.begin_series(series);
        self.begin_time(timestamp_ns);
    }

    /// The same for a series that is not closed and has more dimensions: members that are written out, such as
    /// `"a":1,"b":2`.
    pub fn begin_with(&mut self, series: &SeriesText, more: &[&[u8]], timestamp_ns: Option<i64>) {
        self.begin_series(series);
        let mut has_dimensions = series.has_dimensions();
        for members in more.iter().filter(|members| !members.is_empty()) {
            self.json.raw(if has_dimensions { b"," } else { b",\"dimensions\":{" });
            has_dimensions = true;
            self.json.raw(members);
        }
        if has_dimensions {
            self.json.raw(b"}");
        }
        self.begin_time(timestamp_ns);
    }

    fn begin_series(&mut self, series: &SeriesText) {
        if series.is_shortened() {
            self.note("shortened", 1);
        }
        self.json.raw(series.text());
    }

    fn begin_time(&mut self, timestamp_ns: Option<i64>) {
        if let Some(timestamp_ns) = timestamp_ns {
            self.json.raw(b",\"timestamp\":");
            self.json.timestamp(timestamp_ns);
        }
    }

    /// What was made of `body`; a problem where there was no room for it.
    pub fn finish(self, body: Bytes) -> Result<Converted, Problem> {
        let items = self.json.finish()?;
        if self.places.len() > ITEMS_PER_REQUEST_MAX {
            let detail = format!("a request holds at most {ITEMS_PER_REQUEST_MAX} items; send smaller batches");
            return Err(Problem::new(hyper::StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::TooManyItems, detail));
        }
        let original = Original { body, places: self.places, broken: self.broken };
        Ok(Converted { items: items.into(), original, notes: self.notes, dedupe: !self.repeats })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn items_have_places_and_what_is_broken_is_among_them() {
        let mut into = Converter::new(Box::new(|_| Ok(())));
        into.item().raw(b"{\"a\":");
        into.item().string(b"b\"\n");
        into.item().raw(b"}");
        into.end(0..3, 7);
        into.item().raw(b"{\"half");
        into.broken(3..5, 8, "no end");
        into.note("shortened", 2);
        let made = into.finish(Bytes::from_static(b"abcde")).unwrap();
        assert_eq!(made.items, "{\"a\":\"b\\\"\\n\"}\n0\n");
        assert_eq!(
            (made.original.of(0), made.original.of(1), made.original.of(2)),
            (&b"abc"[..], &b"de"[..], &b""[..])
        );
        assert_eq!(made.original.broken, [Broken { item: 1, message: "no end".into() }]);
        assert_eq!((made.original.places[1].tag, made.notes["shortened"], made.dedupe), (8, 2, true));
    }

    #[test]
    fn dimensions_may_be_added_to_those_of_a_series() {
        for (own, more, expected) in [
            (&[][..], &[&b""[..], b""][..], ""),
            (&["a"], &[b"", b""], r#","dimensions":{"a":""}"#),
            (&[], &[b"", b"\"b\":1,\"c\":2"], r#","dimensions":{"b":1,"c":2}"#),
            (&["a"], &[b"\"b\":1", b"\"c\":2"], r#","dimensions":{"a":"","b":1,"c":2}"#),
        ] {
            let mut into = Converter::new(Box::new(|_| Ok(())));
            let mut series = SeriesText::new();
            series.begin(b"host", "gauge", b"up");
            own.iter().for_each(|name| series.dimension(name.as_bytes(), b""));
            into.begin_with(&series, more, Some(-1));
            let made = String::from_utf8(into.finish(Bytes::new()).unwrap().items.to_vec()).unwrap();
            let head = r#"{"asset_id":"host","metric_type":"gauge","metric_name":"up""#;
            assert_eq!(made, format!(r#"{head}{expected},"timestamp":"1969-12-31T23:59:59.999999999Z""#));
        }
    }
    #[test]
    fn what_has_no_room_is_refused_and_not_written() {
        let refuse = |bytes| if bytes > 10_000 { Err(Problem::unauthorized("full")) } else { Ok(()) };
        let mut into = Converter::new(Box::new(refuse));
        for _ in 0..10_000 {
            into.item().string(&[b'x'; 100]);
            into.end(0..0, 0);
        }
        assert!(into.is_full());
        assert_eq!(into.finish(Bytes::new()).unwrap_err().detail(), "full");
        let mut into = Converter::new(Box::new(|_| Ok(())));
        (0..=ITEMS_PER_REQUEST_MAX).for_each(|_| into.end(0..0, 0));
        assert_eq!(into.finish(Bytes::new()).unwrap_err().code(), ProblemCode::TooManyItems);
    }
}
