//! Events and samples as InfluxDB's line protocol: what is looked for by value as tags, the rest as fields. VictoriaMetrics takes
//! the same lines of samples.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::Value;
use tidegate::model::Kind;

use super::common::{BATCH_ROWS, Result};
use super::templates::Template;

/// Tags of an event; what is new in each event is a field, as that database wants it.
const EVENT_TAGS: [&str; 5] = ["source_module", "event_type", "severity", "environment", "asset_id"];
const EVENT_FIELDS: [&str; 4] = ["correlation_id", "parent_event_id", "trace_id", "payload"];

/// A body for each template, the tenants in turn, with times that end now and follow each other without two alike.
pub fn bodies(kind: Kind, made: &[Template], tenants: &[String]) -> Result<Vec<Bytes>> {
    let rows = i64::try_from(made.len() as u64 * BATCH_ROWS)?;
    let (mut first_us, mut body) = (jiff::Timestamp::now().as_microsecond() - rows, Vec::new());
    let mut bodies = Vec::new();
    for (template, tenant) in made.iter().zip(tenants.iter().cycle()) {
        body.clear();
        template.append(&mut body, first_us, 0);
        first_us += i64::try_from(template.events)?;
        let mut lines = String::new();
        for item in serde_json::Deserializer::from_slice(&body).into_iter::<Value>() {
            match kind {
                Kind::Events => event(&mut lines, &item?, tenant)?,
                Kind::Metrics => sample(&mut lines, &item?, tenant)?,
            }
        }
        bodies.push(lines.into());
    }
    Ok(bodies)
}

fn event(out: &mut String, event: &Value, tenant: &str) -> Result<()> {
    out.push_str("event");
    tag(out, "tenant_id", tenant);
    EVENT_TAGS.iter().for_each(|name| event[*name].as_str().into_iter().for_each(|value| tag(out, name, value)));
    let mut separator = ' ';
    for name in EVENT_FIELDS {
        let text = match &event[name] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        write!(out, "{separator}{name}=\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))?;
        separator = ',';
    }
    time(out, event)
}

fn sample(out: &mut String, sample: &Value, tenant: &str) -> Result<()> {
    out.push_str("sample");
    tag(out, "tenant_id", tenant);
    for name in ["asset_id", "metric_type", "metric_name"] {
        sample[name].as_str().into_iter().for_each(|value| tag(out, name, value));
    }
    for (name, value) in sample["dimensions"].as_object().into_iter().flatten() {
        value.as_str().into_iter().for_each(|value| tag(out, name, value));
    }
    write!(out, " value={}", sample["value"])?;
    time(out, sample)
}

fn tag(out: &mut String, name: &str, value: &str) {
    out.extend([",", name, "="]);
    for character in value.chars() {
        if matches!(character, ',' | '=' | ' ') {
            out.push('\\');
        }
        out.push(character);
    }
}

fn time(out: &mut String, item: &Value) -> Result<()> {
    let at: jiff::Timestamp = item["timestamp"].as_str().ok_or("an item has no time")?.parse()?;
    Ok(writeln!(out, " {}", at.as_nanosecond())?)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::super::templates::templates;
    use super::*;

    #[test]
    fn every_row_is_a_line_with_a_time_of_its_own() {
        let (made, rows) = samples::made(5, 2000);
        let tenants = ["acme".to_owned(), "globex corp".to_owned()];
        for (kind, made) in [(Kind::Metrics, made), (Kind::Events, templates(2, BATCH_ROWS))] {
            let bodies = bodies(kind, &made, &tenants).expect("JSON");
            let text = bodies.iter().map(|body| std::str::from_utf8(body).expect("text")).collect::<String>();
            let times: std::collections::BTreeSet<_> =
                text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
            assert_eq!((text.lines().count() as u64, times.len() as u64), (rows, rows));
            assert!(text.contains(",tenant_id=globex\\ corp,"));
        }
    }

    #[test]
    fn quotes_and_signs_are_escaped() {
        let mut out = String::new();
        let item = r#"{"timestamp":"1970-01-01T00:00:00.000001Z","event_type":"a b","payload":{"text":"say \"x\""}}"#;
        event(&mut out, &serde_json::from_str(item).expect("JSON"), "t=1").expect("good");
        let payload = r#"payload="{\"text\":\"say \\\"x\\\"\"}""#;
        assert_eq!(out, format!("event,tenant_id=t\\=1,event_type=a\\ b {payload} 1000\n"));
    }
}
