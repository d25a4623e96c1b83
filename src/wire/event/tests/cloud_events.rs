//! CloudEvents in structured and batched mode.

use super::*;

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
    assert_eq!((row.uuid("id"), row.time("timestamp")), (foreign_id(TENANT, "A234-1234"), 1_763_640_000_000_000));
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
