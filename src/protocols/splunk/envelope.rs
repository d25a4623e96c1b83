//! An envelope of HEC: what is said of an event, and the event.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::codes::{Code, EVENT_BLANK, EVENT_REQUIRED, INVALID_DATA_FORMAT};
use super::time::nanoseconds;
use crate::protocols::Converter;
use crate::protocols::agent::Query;
use crate::protocols::best::Best;
use crate::protocols::convert::Json;
use crate::protocols::pieces::{copy, members, string, text};
use crate::wire::item::reject::excerpt;

const SEVERITIES: &[&[u8]] = &[b"severity", b"level", b"otel.log.severity.text"];
const TRACES: &[&[u8]] = &[b"trace_id", b"traceID", b"traceId"];
const ENVIRONMENTS: &[&[u8]] = &[b"environment", b"env", b"deployment.environment", b"deployment.environment.name"];

/// What HEC knows of an envelope. The channel is said of the request as well, and of no use behind it.
const KNOWN: [&str; 8] = ["event", "fields", "time", "host", "source", "sourcetype", "index", "channel"];

/// What is said of an event, in its envelope or in the query.
#[derive(Default)]
pub struct About<'a> {
    pub time_ns: Option<i64>,
    pub host: Option<Cow<'a, str>>,
    pub source: Option<Cow<'a, str>>,
    pub sourcetype: Option<Cow<'a, str>>,
    pub index: Option<Cow<'a, str>>,
}

impl<'a> About<'a> {
    /// What the query says of all events of a request. Not said is said with an empty value.
    pub fn of(query: &'a Query<'a>) -> Result<Self, String> {
        let said = |name| query.get(name).map(Cow::Borrowed);
        Ok(Self {
            time_ns: query.get("time").map(time).transpose()?,
            host: said("host"),
            source: said("source"),
            sourcetype: said("sourcetype"),
            index: said("index"),
        })
    }

    /// Writes an event up to its payload, with the comma before it.
    pub fn write(&self, event_type: &str, json: &mut Json<'_>) {
        json.raw(b"{\"event_type\":");
        json.string(event_type.as_bytes());
        json.raw(b",\"source_module\":");
        json.string(self.source.as_deref().unwrap_or("splunk").as_bytes());
        if let Some(host) = &self.host {
            json.raw(b",\"asset_id\":");
            json.string(host.as_bytes());
        }
        if let Some(time_ns) = self.time_ns {
            json.raw(b",\"timestamp\":");
            json.timestamp(time_ns);
        }
        json.raw(b",");
    }

    /// Begins the event's metadata with what it has of this.
    pub fn metadata<'j, 'c>(&self, json: &'j mut Json<'c>) -> Metadata<'j, 'c> {
        let mut metadata = Metadata { json, begun: false };
        if let Some(index) = &self.index {
            metadata.member("index").string(index.as_bytes());
        }
        if let Some(time_ns) = self.time_ns.filter(|ns| ns % 1000 != 0) {
            metadata.member("timestamp_ns").string(itoa::Buffer::new().format(time_ns).as_bytes());
        }
        metadata
    }
}

/// The metadata of an event, if it has any: its last member.
pub struct Metadata<'j, 'c> {
    json: &'j mut Json<'c>,
    begun: bool,
}

impl<'c> Metadata<'_, 'c> {
    /// Where the value of this member is written.
    fn member(&mut self, name: &str) -> &mut Json<'c> {
        self.json.raw(if self.begun { b"," } else { b",\"metadata\":{" });
        self.begun = true;
        self.json.key(name.as_bytes());
        self.json
    }

    /// Ends it, and the event.
    pub fn end(self) {
        self.json.raw(if self.begun { b"}}" } else { b"}" });
    }
}

pub fn time(text: &str) -> Result<i64, String> {
    nanoseconds(text).ok_or_else(|| format!("the time {} is no number of seconds since 1970", excerpt(text)))
}

/// The columns that fields and events fill.
struct Columns<'a> {
    severity: Best<Cow<'a, str>>,
    trace: Best<Cow<'a, str>>,
    environment: Best<Cow<'a, str>>,
}

impl<'a> Columns<'a> {
    fn new() -> Self {
        let [severity, trace, environment] = [SEVERITIES, TRACES, ENVIRONMENTS].map(Best::of);
        Self { severity, trace, environment }
    }

    #[inline]
    fn look(&mut self, name: &str, value: &'a RawValue) {
        let best = match name.as_bytes().first() {
            Some(b's' | b'l' | b'o') => &mut self.severity,
            Some(b't') => &mut self.trace,
            Some(b'e' | b'd') => &mut self.environment,
            _ => return,
        };
        best.look(name.as_bytes(), || string(value).filter(|text| !text.is_empty()));
    }

    fn write(&self, event: &Self, json: &mut Json<'_>) {
        for (key, own, event) in [
            (&b"\"severity\":"[..], &self.severity, &event.severity),
            (b"\"trace_id\":", &self.trace, &event.trace),
            (b"\"environment\":", &self.environment, &event.environment),
        ] {
            if let Some(value) = own.found().or(event.found()) {
                json.raw(key);
                json.string(value.as_bytes());
                json.raw(b",");
            }
        }
    }
}

/// Why an envelope is refused.
pub struct Refused {
    pub code: Code,
    pub why: String,
}

fn malformed(why: impl ToString) -> Refused {
    Refused { code: INVALID_DATA_FORMAT, why: why.to_string() }
}

/// Writes the event of an envelope, which stands there in the body.
pub fn convert(
    envelope: &str,
    defaults: &About<'_>,
    place: Range<usize>,
    into: &mut Converter<'_>,
) -> Result<(), Refused> {
    let (mut event, mut fields) = (None, None);
    let mut about = About::default();
    let mut has_others = false;
    let mut seen = 0_u8;
    members(envelope, |name, value| {
        let Some(at) = KNOWN.iter().position(|known| *known == name) else {
            has_others = true;
            return Ok(());
        };
        if seen & (1 << at) != 0 {
            return Err(serde::de::Error::custom(format_args!("`{name}` is there twice")));
        }
        seen |= 1 << at;
        let said = |value| text(value).map(|text| text.filter(|text| !text.is_empty()));
        match at {
            0 => event = Some(value),
            1 => fields = Some(value),
            2 => about.time_ns = said(value)?.map(|text| time(&text)).transpose().map_err(serde::de::Error::custom)?,
            3 => about.host = said(value)?,
            4 => about.source = said(value)?,
            5 => about.sourcetype = said(value)?,
            6 => about.index = said(value)?,
            _ => {}
        }
        Ok(())
    })
    .map_err(malformed)?;
    let is_said = |value: &&RawValue| value.get() != "null";
    let event = event.filter(is_said);
    // Vector sends them empty.
    let fields = fields.filter(is_said).filter(|fields| fields.get() != "{}");
    let blank = || Refused { code: EVENT_BLANK, why: "`event` is empty".to_owned() };
    let (mut of_fields, mut of_event) = (Columns::new(), Columns::new());
    let (mut has_name, mut has_value, mut has_metric) = (false, false, false);
    if let Some(fields) = fields {
        let look = |name: Cow<'_, str>, value| {
            has_name |= name == "metric_name";
            has_value |= name == "_value";
            has_metric |= name.starts_with("metric_name:");
            of_fields.look(&name, value);
            Ok(())
        };
        members(fields.get(), look).map_err(|error| malformed(format_args!("`fields`: {error}")))?;
    }
    // Of a metric the event need not be there, as for Splunk.
    let is_metric =
        matches!(event.map(RawValue::get), None | Some("\"\"" | "\"metric\"")) && (has_metric || has_name && has_value);
    let event = match event {
        Some(event) if is_metric || event.get() != "\"\"" => event,
        Some(_) => return Err(blank()),
        None if is_metric => RawValue::NULL,
        None => return Err(Refused { code: EVENT_REQUIRED, why: "the envelope has no `event`".to_owned() }),
    };
    let is_object = event.get().starts_with('{');
    if is_object {
        let mut count = 0_usize;
        let look = |name: Cow<'_, str>, value| {
            count += 1;
            of_event.look(&name, value);
            Ok(())
        };
        members(event.get(), look).map_err(malformed)?;
        if count == 0 {
            return Err(blank());
        }
    }

    let about = About {
        time_ns: about.time_ns.or(defaults.time_ns),
        host: about.host.or_else(|| defaults.host.as_deref().map(Cow::Borrowed)),
        source: about.source.or_else(|| defaults.source.as_deref().map(Cow::Borrowed)),
        sourcetype: about.sourcetype.or_else(|| defaults.sourcetype.as_deref().map(Cow::Borrowed)),
        index: about.index.or_else(|| defaults.index.as_deref().map(Cow::Borrowed)),
    };
    let json = into.item();
    let sourcetype = about.sourcetype.as_deref();
    about.write(if is_metric { "splunk.metric" } else { sourcetype.unwrap_or("splunk.event") }, json);
    of_fields.write(&of_event, json);
    json.raw(b"\"payload\":");
    let kept = match fields {
        Some(fields) if is_metric => {
            json.raw(b"{\"fields\":");
            copy(fields, json);
            json.raw(b"}");
            None
        }
        fields => {
            json.raw(if is_object { b"" } else { b"{\"event\":" });
            copy(event, json);
            json.raw(if is_object { b"" } else { b"}" });
            fields
        }
    };
    let mut metadata = about.metadata(json);
    if let Some(sourcetype) = sourcetype.filter(|_| is_metric) {
        metadata.member("sourcetype").string(sourcetype.as_bytes());
    }
    if let Some(fields) = kept {
        copy(fields, metadata.member("fields"));
    }
    if has_others {
        let json = metadata.member("envelope");
        let mut before: &[u8] = b"{";
        let others = |name: Cow<'_, str>, value: &RawValue| {
            if !KNOWN.contains(&&*name) {
                json.raw(std::mem::replace(&mut before, b","));
                json.key(name.as_bytes());
                copy(value, json);
            }
            Ok(())
        };
        members(envelope, others).map_err(malformed)?;
        json.raw(b"}");
    }
    metadata.end();
    into.end(place, 0);
    if is_metric {
        into.note("metric_as_event", 1);
    }
    Ok(())
}
