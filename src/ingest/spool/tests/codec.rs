//! The request's form in the spool, and recovery of bytes that are no spool's.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use crate::ingest::received::{Idempotency, Received};
use crate::ingest::spool::request::{DecodeError, SUMMARY_BYTES_MAX};
use crate::ingest::spool::{PossiblyCommitted, SpooledRequest, SpooledSummary, recover_bytes};
use crate::limits::TENANT_ID_CHARS_MAX;
use crate::model::Kind;
use crate::wire::event::Defaults;
use crate::wire::item::{BodyForm, Broken, Original, Place};

/// A request as it comes in.
fn received(tenant_id: &str, body: &'static str) -> Received {
    Received {
        tenant_id: tenant_id.into(),
        api_key_id: Uuid::now_v7(),
        keep_days: None,
        receipt: Uuid::now_v7(),
        received_at_us: 1,
        route: "/v1/events".into(),
        kind: Kind::Events,
        form: BodyForm::Json,
        defaults: Defaults::default(),
        body: Bytes::from_static(body.as_bytes()),
        original: None,
        sent_digest: None,
        replay: None,
    }
}

fn request() -> impl Strategy<Value = SpooledRequest> {
    let form = prop_oneof![
        Just(BodyForm::Json),
        Just(BodyForm::Ndjson),
        Just(BodyForm::CloudEvent),
        Just(BodyForm::CloudEventBatch),
        Just(BodyForm::Converted)
    ];
    let text = || option::of("\\PC{0,40}");
    let defaults = (text(), text(), text(), any::<bool>());
    let attempt = option::of(("[0-9]{1,20}", any::<i64>(), vec(any::<i64>(), 0..20)));
    let counts = (any::<i64>(), any::<u32>(), any::<u32>(), any::<u32>());
    let kind = prop_oneof![Just(Kind::Events), Just(Kind::Metrics)];
    let names = ("\\PC{0,60}", "\\PC{0,60}", kind, option::of(("\\PC{0,60}", any::<[u8; 32]>())));
    let ids = (any::<u128>(), any::<u128>(), option::of(any::<i32>()));
    let rest = (ids, vec(any::<u8>(), 0..300), option::of(original()));
    (names, rest, form, defaults, counts, attempt).prop_map(
        |(names, ((api_key_id, receipt, keep_days), body, original), form, defaults, counts, attempt)| SpooledRequest {
            received: Received {
                tenant_id: names.0.into(),
                api_key_id: Uuid::from_u128(api_key_id),
                keep_days,
                receipt: Uuid::from_u128(receipt),
                received_at_us: counts.0,
                route: names.1.into(),
                kind: names.2,
                form,
                defaults: Defaults {
                    event_type: defaults.0,
                    source_module: defaults.1,
                    stream: defaults.2,
                    wrap: defaults.3,
                },
                body: body.into(),
                original: original.map(Arc::new),
                sent_digest: None,
                replay: None,
            },
            idempotency: names.3.map(|(key, sha256)| Idempotency { key, sha256, before: None }),
            items: counts.1,
            accepted: counts.2,
            rejected: counts.3,
            attempt: attempt.map(|(xid, server_start_us, batch_ids)| PossiblyCommitted {
                xid,
                server_start_us,
                batch_ids,
            }),
        },
    )
}

fn original() -> impl Strategy<Value = Original> {
    let place = (any::<u32>(), any::<u32>(), any::<u8>()).prop_map(|(start, end, tag)| Place { start, end, tag });
    let broken = (any::<u32>(), "\\PC{0,40}").prop_map(|(item, message)| Broken { item, message });
    let parts = (vec(any::<u8>(), 0..300), vec(place, 0..20), vec(broken, 0..5));
    parts.prop_map(|(body, places, broken)| Original { body: body.into(), places, broken })
}

fn encoded(request: &SpooledRequest) -> Bytes {
    let payload = request.encode();
    [payload.head, payload.body].concat().into()
}

proptest! {
    #[test]
    fn a_request_reads_as_it_was_written(request in request()) {
        let bytes = encoded(&request);
        let read = SpooledRequest::decode(&bytes).unwrap();
        prop_assert_eq!(&read, &request);
        // The body is not copied.
        let body = &read.received.body;
        prop_assert!(body.is_empty() || bytes.as_ptr_range().contains(&body.as_ptr()));
        let summary = SpooledSummary::decode(&bytes).unwrap();
        prop_assert_eq!((&*summary.tenant_id, summary.receipt), (&*request.received.tenant_id, request.received.receipt));
        prop_assert_eq!((summary.items, summary.accepted), (request.items, request.accepted));
    }

    #[test]
    fn a_request_cut_short_is_refused(request in request(), part in 0.0..1.0) {
        let bytes = encoded(&request);
        let head = bytes.len() - request.received.body.len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let cut = (head as f64 * part) as usize;
        prop_assert_eq!(SpooledRequest::decode(&bytes.slice(..cut)), Err(DecodeError::Short));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400), version in any::<bool>()) {
        let mut bytes = bytes;
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = 1;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(read) = SpooledRequest::decode(&bytes) {
            prop_assert_eq!(encoded(&read), bytes);
        }
    }

    #[test]
    fn any_bytes_are_recovered_from(bytes in vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(recover_bytes(&bytes).records, 0);
    }
}

/// As version 3 wrote it, and what has nothing more still is; versions 2 and 1: with a
/// content type where the kind is, and version 1 without the days.
#[test]
fn records_of_earlier_versions_are_read() {
    for (route, kind) in [("/v1/events", Kind::Events), ("/v1/metrics", Kind::Metrics)] {
        let received = Received { route: route.into(), kind, ..received("acme", "{}") };
        let request = SpooledRequest { received, idempotency: None, items: 1, accepted: 1, rejected: 0, attempt: None };
        let bytes = encoded(&request);
        let text = |text: &str| [&u32::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat();
        let kind_text = text(kind.table());
        let at = bytes.windows(kind_text.len()).position(|window| window == kind_text).unwrap();
        let third = bytes.to_vec();
        assert_eq!(third[0], 3);
        let second = [&[2], &third[1..at], &text("application/json"), &third[at + kind_text.len()..]].concat();
        // Behind version, tenant, receipt, time, three counts and the key's id.
        let days_at = 1 + 8 + 16 + 8 + 12 + 16;
        let first = [&[1], &second[1..days_at], &second[days_at + 1..]].concat();
        for bytes in [third, second, first] {
            assert_eq!(SpooledRequest::decode(&bytes.into()), Ok(request.clone()));
        }
    }
    let unknown = Received { route: "/v1/other".into(), ..received("acme", "{}") };
    let request =
        SpooledRequest { received: unknown, idempotency: None, items: 1, accepted: 1, rejected: 0, attempt: None };
    let mut bytes = encoded(&request).to_vec();
    assert_eq!(SpooledRequest::decode(&bytes.clone().into()), Ok(request));
    bytes[0] = 2;
    assert_eq!(SpooledRequest::decode(&bytes.into()), Err(DecodeError::Invalid("kind")));
}

#[test]
fn huge_lengths_are_refused_before_anything_is_allocated() {
    // A tenant of 4,294,967,294 bytes.
    let bytes = Bytes::from_static(&[1, 0xFE, 0xFF, 0xFF, 0xFF, b'a']);
    assert_eq!(SpooledRequest::decode(&bytes), Err(DecodeError::Short));
    assert_eq!(SpooledRequest::decode(&Bytes::from_static(&[9])), Err(DecodeError::Version(9)));
}

/// Four bytes a character, and what stands around them.
const _: () = assert!(TENANT_ID_CHARS_MAX * 4 + 64 <= SUMMARY_BYTES_MAX);
