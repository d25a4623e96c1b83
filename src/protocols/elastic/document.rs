//! What a document says of its event, in one pass over its top level: the names of the Elastic Common Schema, nested or
//! with dots, and those of OpenTelemetry documents. Nothing is changed: values are pieces of the document's text.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::action::reason;
use crate::timestamp::parse_rfc3339;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Dataset,
    Service,
    Asset,
    Severity,
    Environment,
    Trace,
    Time,
}

const SLOTS: usize = 7;

/// What was found: JSON text, of the name that counts most.
#[derive(Debug, Default)]
pub struct Found<'a>([Option<(u8, &'a str)>; SLOTS]);

impl<'a> Found<'a> {
    /// Reads a document; the error says what is wrong with it.
    pub fn read(document: &'a [u8]) -> Result<Self, String> {
        let mut found = Self::default();
        let mut deserializer = serde_json::Deserializer::from_slice(document);
        let whole = Object { scope: Scope::Top, found: &mut found };
        whole.deserialize(&mut deserializer).and_then(|()| deserializer.end()).map_err(|error| reason(&error))?;
        Ok(found)
    }

    /// The JSON text of a string or another plain value.
    pub fn get(&self, slot: Slot) -> Option<&'a str> {
        self.0[slot as usize].map(|(_, text)| text)
    }

    fn take(&mut self, slot: Slot, rank: u8, text: &'a str) {
        let blank = matches!(text, "null" | "\"\"");
        let plain = !text.starts_with(['{', '[']) && !matches!(text, "true" | "false");
        let field = &mut self.0[slot as usize];
        if !blank && (plain || (slot, rank) == (Slot::Time, 0)) && field.is_none_or(|(found, _)| rank < found) {
            *field = Some((rank, text));
        }
    }

    /// The document's time, as Tidegate's items write it. What is no time is kept where it claims to be one: the item
    /// is refused for it.
    pub fn time(&self) -> Option<Cow<'a, str>> {
        let (rank, text) = self.0[Slot::Time as usize]?;
        time(text).or_else(|| (rank == 0).then_some(Cow::Borrowed(text)))
    }
}

/// Elasticsearch's `strict_date_optional_time||epoch_millis`; what has no zone is UTC.
fn time(json: &str) -> Option<Cow<'_, str>> {
    let Some(text) = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return json.starts_with(|c: char| c == '-' || c.is_ascii_digit()).then_some(Cow::Borrowed(json));
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if digits(whole) && digits(fraction) && (whole.len() == 1 || !whole.starts_with('0')) && whole.len() > 4 {
        return Some(Cow::Borrowed(text));
    }
    if parse_rfc3339(text).is_some() {
        return Some(Cow::Borrowed(json));
    }
    let local: DateTime = text.parse().ok()?;
    let moment = local.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Cow::Owned(format!("\"{moment}\"")))
}

/// Where in a document a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Top,
    /// `resource.attributes`, whose names are those of the top.
    Attributes,
    Resource,
    Host,
    Event,
    DataStream,
    Service,
    Agent,
    Log,
    Deployment,
    Trace,
}

enum Member {
    Value(Slot, u8),
    Inside(Scope),
    /// A value where it is plain, else an object.
    Either(Slot, u8, Scope),
    Other,
}

fn member(scope: Scope, name: &str) -> Member {
    use Member::{Either, Inside, Value};
    match (scope, name) {
        (Scope::Top, "@timestamp") => Value(Slot::Time, 0),
        (Scope::Top, "timestamp") => Value(Slot::Time, 1),
        (Scope::Top, "resource") => Inside(Scope::Resource),
        (Scope::Top, "resource.attributes") | (Scope::Resource, "attributes") => Inside(Scope::Attributes),
        (Scope::Top | Scope::Attributes, _) => match name {
            "data_stream" => Inside(Scope::DataStream),
            "data_stream.dataset" => Value(Slot::Dataset, 0),
            "event" => Inside(Scope::Event),
            "event.dataset" => Value(Slot::Dataset, 1),
            "service" => Inside(Scope::Service),
            "service.name" => Value(Slot::Service, 0),
            "service.environment" => Value(Slot::Environment, 0),
            "deployment" => Inside(Scope::Deployment),
            "deployment.environment.name" => Value(Slot::Environment, 1),
            "deployment.environment" => Value(Slot::Environment, 2),
            "agent" => Inside(Scope::Agent),
            "agent.type" => Value(Slot::Service, 1),
            "host" => Either(Slot::Asset, 2, Scope::Host),
            "host.name" => Value(Slot::Asset, 0),
            "host.hostname" => Value(Slot::Asset, 1),
            "log" => Inside(Scope::Log),
            "log.level" => Value(Slot::Severity, 0),
            "severity_text" => Value(Slot::Severity, 1),
            "level" => Value(Slot::Severity, 2),
            "severity_label" => Value(Slot::Severity, 3),
            "severity" => Value(Slot::Severity, 4),
            "trace" => Inside(Scope::Trace),
            "trace.id" => Value(Slot::Trace, 0),
            "trace_id" => Value(Slot::Trace, 1),
            _ => Member::Other,
        },
        (Scope::DataStream, "dataset") => Value(Slot::Dataset, 0),
        (Scope::Event, "dataset") => Value(Slot::Dataset, 1),
        (Scope::Service, "name") => Value(Slot::Service, 0),
        (Scope::Service, "environment") => Value(Slot::Environment, 0),
        (Scope::Deployment, "environment.name") => Value(Slot::Environment, 1),
        (Scope::Deployment, "environment") => Value(Slot::Environment, 2),
        (Scope::Agent, "type") => Value(Slot::Service, 1),
        (Scope::Host, "name") => Value(Slot::Asset, 0),
        (Scope::Host, "hostname") => Value(Slot::Asset, 1),
        (Scope::Log, "level") => Value(Slot::Severity, 0),
        (Scope::Trace, "id") => Value(Slot::Trace, 0),
        _ => Member::Other,
    }
}

/// An object in a scope. Scopes lead from the top to attributes to one of their objects, and no further.
struct Object<'f, 'a> {
    scope: Scope,
    found: &'f mut Found<'a>,
}

impl<'de> DeserializeSeed<'de> for Object<'_, 'de> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document, which is a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(member) = map.next_key_seed(Name(self.scope))? {
            match member {
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
                Member::Value(slot, rank) => {
                    let value: &RawValue = map.next_value()?;
                    self.found.take(slot, rank, value.get());
                }
                Member::Inside(scope) => {
                    let value: &RawValue = map.next_value()?;
                    self.found.inside(scope, value.get());
                }
                Member::Either(slot, rank, scope) => {
                    let value: &RawValue = map.next_value()?;
                    self.found.take(slot, rank, value.get());
                    self.found.inside(scope, value.get());
                }
            }
        }
        Ok(())
    }
}

impl<'a> Found<'a> {
    /// Looks into a value, if it is an object.
    fn inside(&mut self, scope: Scope, text: &'a str) {
        if text.starts_with('{') {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            // It was read once, so that it is JSON.
            let _ = Object { scope, found: self }.deserialize(&mut deserializer);
        }
    }
}

/// What the name of a member stands for.
struct Name(Scope);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Member;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        Ok(member(self.0, name))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn times_are_those_of_elasticsearch() {
        for (sent, written) in [
            ("\"2026-11-29T10:00:00.123456789Z\"", Some("\"2026-11-29T10:00:00.123456789Z\"")),
            ("\"2026-11-29T10:00:00+01:00\"", Some("\"2026-11-29T10:00:00+01:00\"")),
            ("\"2026-11-29T10:00:00.5\"", Some("\"2026-11-29T10:00:00.5Z\"")),
            ("\"2026-11-29\"", Some("\"2026-11-29T00:00:00Z\"")),
            ("1764410400000", Some("1764410400000")),
            ("\"1764410400000\"", Some("1764410400000")),
            ("\"1764410400000.123456\"", Some("1764410400000.123456")),
            ("\"2026\"", None),
            ("\"yesterday\"", None),
            ("{}", None),
            ("\"\"", None),
        ] {
            assert_eq!(time(sent).as_deref(), written, "{sent}");
        }
    }

    #[test]
    fn names_count_by_their_rank_nested_or_with_dots() {
        let read = |text: &'static str| Found::read(text.as_bytes()).unwrap();
        let found = read(
            r#"{"host":{"hostname":"h","name":"n","os":{"name":"x"}},"level":"a","log":{"level":"b","file":{}},
            "event":{"dataset":"e"},"data_stream.dataset":"d","agent":{"type":"filebeat","name":"z"},
            "trace":{"id":"t"}}"#,
        );
        let all = [Slot::Dataset, Slot::Service, Slot::Asset, Slot::Severity, Slot::Environment, Slot::Trace];
        let texts = all.map(|slot| found.get(slot));
        let expected = [Some("\"d\""), Some("\"filebeat\""), Some("\"n\""), Some("\"b\""), None, Some("\"t\"")];
        assert_eq!(texts, expected);
        let found = read(
            r#"{"host":"plain","severity":3,"service.name":"s","agent.type":"x","log.level":"",
            "service":{"environment":"prod"},"trace_id":"u","event":[1],"data_stream":null,
            "\u0068ost.name":"esc"}"#,
        );
        let expected = [None, Some("\"s\""), Some("\"esc\""), Some("3"), Some("\"prod\""), Some("\"u\"")];
        assert_eq!(all.map(|slot| found.get(slot)), expected);
        let found = read(
            r#"{"resource":{"attributes":{"service.name":"o","host":{"name":"in"},"deployment.environment":"dev",
            "resource":{"attributes":{"service.name":"deep"}},"@timestamp":1}},"severity_text":"INFO"}"#,
        );
        let expected = [None, Some("\"o\""), Some("\"in\""), Some("\"INFO\""), Some("\"dev\""), None];
        assert_eq!(all.map(|slot| found.get(slot)), expected);
        assert_eq!(found.time(), None);
        assert_eq!(read("{\"@timestamp\":\"x\",\"timestamp\":17644104000}").time().as_deref(), Some("\"x\""));
        assert_eq!(read("{\"timestamp\":\"x\"}").time(), None);
    }

    #[test]
    fn what_is_no_document_is_said() {
        for bad in
            ["", "[]", "1", "{\"a\":1} x", "{\"a\":1},\"b\":{}", "{\"a\":}", "{\"a\":1", "{\"host\":{\"a\"}}", "{a:1}"]
        {
            assert!(Found::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Found::read(b"[]").unwrap_err().contains("a document"));
        assert!(Found::read(b"{\"a\":1} x").unwrap_err().ends_with("at byte 9 of the line"));
    }
}
