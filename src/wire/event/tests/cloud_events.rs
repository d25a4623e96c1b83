//! CloudEvents in structured and batched mode.

use super::*;
use crate::wire::event::ids::cloud_event_id;

const CLOUD_EVENT: &str = r#"{"specversion":"1.0","id":"A234-1234","source":"/gateway","type":"com.example.ping",
    "time":"2025-11-20T12:00:00Z","subject":"s1","datacontenttype":"application/json","comexampleext":7"#;

fn with(more: &str) -> String {
    format!("{CLOUD_EVENT}{more}}}")
}

fn cloud(body: &str) -> Decoded {
    decode_as(body, BodyForm::CloudEvent).unwrap()
}

#[test]
fn attributes_reach_columns_and_the_rest_metadata() {
    let row = row_of(&cloud(&with(r#","data":{"x": 1.0}"#)));
    assert_eq!((row.text("event_type"), row.text("source_module")), ("com.example.ping", "/gateway"));
    assert_eq!(
        (row.uuid("id"), row.time("timestamp")),
        (cloud_event_id(TENANT, "/gateway", "A234-1234"), 1_763_640_000_000_000)
    );
    assert_eq!(row.uuid("bare_id"), bare_id(TENANT, "A234-1234"));
    assert_eq!(row.json("payload"), r#"{"x": 1.0}"#);
    assert_eq!(
        row.metadata(),
        serde_json::json!({
            "original_id": "A234-1234",
            "extra": {
                "specversion": "1.0", "subject": "s1", "datacontenttype": "application/json", "comexampleext": 7
            }
        })
    );
}

#[test]
fn data_of_any_kind_becomes_an_object() {
    for (more, payload) in [
        ("", "{}"),
        (r#","data":[1, 2.0]"#, r#"{"data":[1, 2.0]}"#),
        (r#","data":"te\nxt""#, r#"{"data":"te\nxt"}"#),
        (r#","data":1e400"#, r#"{"data":1e400}"#),
        (r#","data":null"#, r#"{"data":null}"#),
        (r#","data_base64":"AAEC""#, r#"{"data_base64":"AAEC"}"#),
        (r#","data":{},"data_base64":"AAEC""#, "{}"),
    ] {
        let row = row_of(&cloud(&with(more)));
        assert_eq!(row.json("payload"), payload);
        let base64 = row.metadata()["extra"].get("data_base64").cloned();
        assert_eq!(base64, (payload == "{}" && !more.is_empty()).then(|| "AAEC".into()), "{more}");
    }
}

#[test]
fn required_attributes_are_required() {
    let all = [("specversion", "\"1.0\""), ("id", "\"1\""), ("source", "\"s\""), ("type", "\"t\"")];
    let item = |name: &str, value: Option<&str>| {
        let given = all.map(|(other, default)| (other, if other == name { value } else { Some(default) }));
        let members = given.iter().filter_map(|(name, value)| Some(format!("\"{name}\":{}", (*value)?)));
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    row_of(&cloud(&item("", None)));
    for (name, _) in all {
        for (value, expected) in [
            (None, Code::MissingField),
            (Some("null"), Code::MissingField),
            (Some("\"\""), Code::InvalidField),
            (Some("1"), Code::InvalidField),
        ] {
            let rejected = cloud(&item(name, value)).rejected;
            assert_eq!((rejected.len(), rejected[0].rejection.code), (1, expected), "{name} {value:?}");
            assert_eq!(rejected[0].rejection.stage, Stage::Validate);
        }
    }
    assert_eq!(cloud(&item("specversion", Some("\"0.3\""))).rejected[0].rejection.code, Code::InvalidField);
    assert_eq!(cloud(&event("")).rejected[0].rejection.code, Code::MissingField);
}

#[test]
fn batches_are_arrays_and_single_events_are_not() {
    let body = format!("[{},{},{}]", with(""), r#"{"specversion":"1.0"}"#, with(r#","data":5"#));
    let decoded = decode_as(&body, BodyForm::CloudEventBatch).unwrap();
    assert_eq!(decoded.rows.rows.iter().map(|row| row.item).collect::<Vec<_>>(), [0, 2]);
    assert_eq!((decoded.rejected[0].index, decoded.rejected[0].rejection.code), (1, Code::MissingField));
    let rejected = decode_as(&body, BodyForm::CloudEvent).unwrap().rejected;
    assert_eq!((rejected.len(), rejected[0].rejection.code), (1, Code::NotAnObject));
}

/// A CloudEvent of this source and id, and `more`, which begins with a comma or is empty.
fn from(source: &str, id: &str, more: &str) -> String {
    format!(r#"{{"specversion":"1.0","source":"{source}","id":"{id}","type":"t"{more}}}"#)
}

#[test]
fn source_and_id_together_are_the_identity() {
    let uuid = Uuid::from_u128(5).to_string();
    for id in ["1", &uuid, &uuid.to_uppercase()] {
        let body = format!("[{},{}]", from("/a", id, ""), from("/b", id, ""));
        let decoded = decode_as(&body, BodyForm::CloudEventBatch).unwrap();
        let rows = Row::all(COPY_COLUMNS, &decoded);
        for (row, source) in rows.iter().zip(["/a", "/b"]) {
            assert_eq!(row.uuid("id"), cloud_event_id(TENANT, source, id));
            assert_eq!(row.uuid("bare_id"), bare_id(TENANT, id), "what finds both");
            assert_eq!(row.metadata()["original_id"], id);
        }
        assert_ne!(rows[0].uuid("id"), rows[1].uuid("id"));
        assert_eq!(decoded.rows.rows[1].id, rows[1].uuid("id"));
    }
    assert!(row(event(&format!(r#","id":"{uuid}""#))).is_null("bare_id"), "an event that is no CloudEvent has one id");
}

#[test]
fn other_events_are_named_without_their_source() {
    let uuid = Uuid::from_u128(6);
    let row = row_of(&cloud(&from("/a", "2", &format!(r#","parent_event_id":"1","correlation_id":"{uuid}""#))));
    assert_eq!((row.uuid("parent_event_id"), row.uuid("correlation_id")), (bare_id(TENANT, "1"), uuid));
    assert_eq!(row.metadata()["original_parent_event_id"], "1");
}

#[test]
fn what_no_column_takes_is_shortened_and_kept_whole() {
    let long = |chars: usize| "ä/".repeat(chars / 2);
    for (attribute, column, max) in [
        ("source", "source_module", 50),
        ("type", "event_type", 50),
        ("severity", "severity", 20),
        ("environment", "environment", 50),
        ("stream", "stream", 100),
        ("asset_id", "asset_id", 100),
        ("trace_id", "trace_id", 256),
    ] {
        let with = |text: &str| {
            let attributes = [("specversion", "1.0"), ("id", "1"), ("source", "s"), ("type", "t"), (attribute, text)];
            let item: serde_json::Map<_, _> =
                attributes.map(|(name, text)| (name.to_owned(), text.into())).into_iter().collect();
            row_of(&cloud(&serde_json::Value::from(item).to_string()))
        };
        let original = format!("original_{column}");
        let (fits, one, other) = (with(&long(max)), with(&long(max + 2)), with(&long(max + 4)));
        assert_eq!((fits.text(column), fits.metadata().get(&original)), (&*long(max), None), "{attribute}");
        assert_eq!(one.text(column).chars().count(), max, "{attribute}");
        assert_ne!(one.text(column), other.text(column), "{attribute}");
        assert_eq!(one.text(column), fitted(column, &long(max + 2)), "{attribute} is found by the whole");
        assert_eq!(one.metadata()[&original], long(max + 2));
        let native =
            format!(r#"{{"event_type":"e","source_module":"s","payload":{{}},"{column}":"{}"}}"#, long(max + 2));
        let native = if column == "event_type" { native.replacen(r#""event_type":"e","#, "", 1) } else { native };
        let native = if column == "source_module" { native.replacen(r#""source_module":"s","#, "", 1) } else { native };
        let refused = rejection(native);
        assert_eq!(refused.code, Code::FieldTooLong);
        assert!(
            refused.message.contains(&format!("{column} has {} characters; the limit is {max}", max + 2)),
            "{refused:?}"
        );
    }
    let id = long(2000);
    let row = row_of(&cloud(&from("/a", &id, &format!(r#","correlation_id":"{id}""#))));
    assert_eq!((row.uuid("bare_id"), row.metadata()["original_id"].as_str()), (bare_id(TENANT, &id), Some(&*id)));
}

#[test]
fn numbers_and_booleans_are_attributes_too() {
    let row = row_of(&cloud(&from("/a", "1", r#","severity":17,"environment":true,"stream":1.5,"trace_id":null"#)));
    assert_eq!((row.text("severity"), row.text("environment"), row.text("stream")), ("17", "true", "1.5"));
}

#[test]
fn extensions_do_not_stand_before_attributes_of_the_standard() {
    let more = r#","time":"2025-11-20T12:00:00Z","data":{"x":1},"timestamp":"then","payload":"p","source_module":"m",
        "event_type":"e","metadata":"m","context":5,"subject":"s""#;
    let row = row_of(&cloud(&from("/a", "1", more)));
    assert_eq!((row.text("source_module"), row.text("event_type"), row.json("payload")), ("/a", "t", r#"{"x":1}"#));
    assert_eq!((row.uuid("id"), row.time("timestamp")), (cloud_event_id(TENANT, "/a", "1"), 1_763_640_000_000_000));
    assert_eq!(
        row.metadata()["extra"],
        serde_json::json!({"specversion": "1.0", "timestamp": "then", "payload": "p", "source_module": "m", "event_type": "e",
            "metadata": "m", "context": 5, "subject": "s"})
    );
    let own = row_of(&cloud(&from("/a", "1", r#","metadata":{"team":"core"}"#)));
    assert_eq!((&own.metadata()["team"], own.metadata()["extra"].get("metadata")), (&"core".into(), None));
}

#[test]
fn a_rejected_one_is_named_by_source_and_id() {
    for (item, expected) in [
        (from("/a", "1", r#","other":"\u0000""#), Some(cloud_event_id(TENANT, "/a", "1"))),
        (
            from("/a", &Uuid::from_u128(5).to_string(), r#","event_version":0"#),
            Some(cloud_event_id(TENANT, "/a", &Uuid::from_u128(5).to_string())),
        ),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#.to_owned(), None),
    ] {
        let rejected = cloud(&item).rejected;
        assert_eq!((rejected.len(), rejected[0].event_id), (1, expected), "{item}");
    }
}
