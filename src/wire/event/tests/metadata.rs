//! How metadata is put together.

use super::*;

#[test]
fn the_senders_members_come_first_and_verbatim() {
    let row = row(event(r#","zone":1e400 ,"metadata":{ "b" : 0.1000 , "a":{"x":1.0} }, "id":"o\u0031""#));
    assert_eq!(row.json("metadata"), r#"{"b":0.1000,"a":{"x":1.0},"original_id":"o\u0031","extra":{"zone":1e400}}"#);
}

#[test]
fn nothing_of_the_sender_is_null() {
    for nothing in ["", r#","metadata":{}"#, r#","metadata":null"#, r#","context":{}"#, r#","metadata": { } "#] {
        assert!(row(event(nothing)).is_null("metadata"), "{nothing}");
    }
    let wrapped =
        Defaults { wrap: true, event_type: Some("e".into()), source_module: Some("s".into()), ..Defaults::default() };
    let decoded = Decoder::new().decode(br#"{"metadata":{"a":1}}"#, BodyForm::Json, &wrapped, &origin()).unwrap();
    assert!(row_of(&decoded).is_null("metadata"));
}

#[test]
fn unknown_fields_are_kept() {
    let row =
        row(event(r#","Host":"h","tags":["a",{"b":null}],"n":null,"extra":{"e":1},"receipt":"r","specversion":2"#));
    assert_eq!(
        row.metadata(),
        serde_json::json!({"extra": {
            "Host": "h", "tags": ["a", {"b": null}], "n": null, "extra": {"e": 1}, "receipt": "r", "specversion": 2
        }})
    );
}

#[test]
fn what_the_server_writes_cannot_be_forged_and_loses_nothing() {
    let forged = r#"{"api_key_id":1,"receipt":2,"rece\u0069ved_at":3,"original_id":4,"original_correlation_id":5,
        "original_parent_event_id":6,"extra":{"a":7},"kept":8}"#;
    let row = row(event(&format!(r#","id":"x","unknown":9,"metadata":{forged}"#)));
    assert_eq!(
        row.metadata(),
        serde_json::json!({
            "kept": 8,
            "original_id": "x",
            "extra": {
                "unknown": 9,
                "metadata": {
                    "api_key_id": 1, "receipt": 2, "received_at": 3, "original_id": 4, "original_correlation_id": 5,
                    "original_parent_event_id": 6, "extra": {"a": 7}
                }
            }
        })
    );
    // jsonb would keep the last of equal keys, so none may occur twice.
    let text = row.json("metadata");
    let decoded = Decoder::new()
        .decode(
            format!(r#"{{"event_type":"e","source":"s","payload":{text}}}"#).as_bytes(),
            BodyForm::Json,
            &Defaults::default(),
            &origin(),
        )
        .unwrap();
    assert_eq!(decoded.rejected, []);
}

#[test]
fn names_are_the_servers_only_at_the_top_of_metadata() {
    let metadata = r#"{"nested":{"receipt":1,"extra":2},"id":3,"event_type":4,"payload":null}"#;
    let row = row(event(&format!(r#","metadata":{metadata}"#)));
    assert_eq!(row.metadata(), serde_json::from_str::<serde_json::Value>(metadata).unwrap());
}
