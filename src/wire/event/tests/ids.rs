//! Ids: UUIDs in any form, foreign ids, and the ids of rejected items.

use super::*;

#[test]
fn uuids_are_taken_in_every_form() {
    let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    for text in [
        id.hyphenated().to_string(),
        id.simple().to_string(),
        id.braced().to_string(),
        id.urn().to_string(),
        id.to_string().to_uppercase(),
    ] {
        let row = row(event(&format!(r#","id":"{text}","correlation_id":"{text}""#)));
        assert_eq!((row.uuid("id"), row.uuid("correlation_id"), row.metadata()), (id, id, serde_json::json!({})));
    }
}

#[test]
fn foreign_ids_become_uuids_and_are_kept() {
    let decoded = decode(event(r#","id":"order-1","correlation_id":"c/2","parent_event_id":"☃""#));
    let row = row_of(&decoded);
    assert_eq!(row.uuid("id"), bare_id(TENANT, "order-1"));
    assert_eq!(row.uuid("correlation_id"), bare_id(TENANT, "c/2"));
    assert_eq!(row.uuid("parent_event_id"), bare_id(TENANT, "☃"));
    assert_eq!(
        row.metadata(),
        serde_json::json!({
            "original_id": "order-1", "original_correlation_id": "c/2", "original_parent_event_id": "☃"
        })
    );
    assert_eq!(decoded.rows.rows[0].id, row.uuid("id"));
}

#[test]
fn ids_made_here_ascend_within_a_request_and_differ_between_requests() {
    let body = format!("[{}]", vec![event(""); 1000].join(","));
    let ids = |decoded: Decoded| decoded.rows.rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let mut decoder = Decoder::new();
    let mut again = || decoder.decode(body.as_bytes(), BodyForm::Json, &Defaults::default(), &origin()).unwrap();
    let (first, second) = (ids(again()), ids(again()));
    for ids in [&first, &second] {
        assert_eq!(ids.len(), 1000);
        assert!(ids.is_sorted_by(|a, b| a < b));
    }
    assert!(!first.iter().any(|id| second.contains(id)));
}

#[test]
fn rejected_items_are_named_where_they_can_be() {
    let id = Uuid::from_u128(77);
    for (more, expected) in [
        (format!(r#","id":"{id}","event_version":0"#), Some(id)),
        (format!(r#","event_id":"{id}","other":"\u0000""#), Some(id)),
        (r#","id":"order-1","severity":5"#.to_owned(), Some(bare_id(TENANT, "order-1"))),
        (r#","id":"","severity":5"#.to_owned(), None),
        (r#","id":5"#.to_owned(), None),
        (r#","id":"\u0000""#.to_owned(), None),
        (r#","severity":5"#.to_owned(), None),
    ] {
        let decoded = decode(event(&more));
        assert_eq!(decoded.rejected.len(), 1, "{more}");
        assert_eq!(decoded.rejected[0].event_id, expected, "{more}");
    }
}
