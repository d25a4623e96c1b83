//! The request's form in the spool, and recovery of bytes that are no spool's.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use crate::ingest::spool::request::{DecodeError, SUMMARY_BYTES_MAX};
use crate::ingest::spool::{PossiblyCommitted, SpooledRequest, Summary, recover_bytes};
use crate::limits::TENANT_ID_CHARS_MAX;
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

fn request() -> impl Strategy<Value = SpooledRequest> {
    let form = prop_oneof![
        Just(BodyForm::Json),
        Just(BodyForm::Ndjson),
        Just(BodyForm::CloudEvent),
        Just(BodyForm::CloudEventBatch)
    ];
    let text = || option::of("\\PC{0,40}");
    let defaults = (text(), text(), text(), any::<bool>());
    let attempt = option::of(("[0-9]{1,20}", any::<i64>(), vec(any::<i64>(), 0..20)));
    let counts = (any::<i64>(), any::<u32>(), any::<u32>(), any::<u32>());
    let names = ("\\PC{0,60}", "\\PC{0,60}", "\\PC{0,60}", option::of("\\PC{0,60}"));
    let ids = (any::<u128>(), any::<u128>(), option::of(any::<i32>()));
    let rest = (ids, option::of(any::<[u8; 32]>()), vec(any::<u8>(), 0..300));
    (names, rest, form, defaults, counts, attempt).prop_map(
        |(names, ((api_key_id, receipt, keep_days), sha256, body), form, defaults, counts, attempt)| SpooledRequest {
            tenant_id: names.0,
            api_key_id: Uuid::from_u128(api_key_id),
            keep_days,
            receipt: Uuid::from_u128(receipt),
            idempotency_key: names.3,
            sha256,
            route: names.1,
            content_type: names.2,
            form,
            defaults: Defaults {
                event_type: defaults.0,
                source_module: defaults.1,
                stream: defaults.2,
                wrap: defaults.3,
            },
            received_at_us: counts.0,
            items: counts.1,
            accepted: counts.2,
            rejected: counts.3,
            attempt: attempt.map(|(xid, server_start_us, batch_ids)| PossiblyCommitted {
                xid,
                server_start_us,
                batch_ids,
            }),
            body: body.into(),
        },
    )
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
        prop_assert!(request.body.is_empty() || bytes.as_ptr_range().contains(&read.body.as_ptr()));
        let summary = Summary::decode(&bytes).unwrap();
        prop_assert_eq!((summary.tenant_id, summary.receipt), (request.tenant_id, request.receipt));
        prop_assert_eq!((summary.items, summary.accepted), (request.items, request.accepted));
    }

    #[test]
    fn a_request_cut_short_is_refused(request in request(), part in 0.0..1.0) {
        let bytes = encoded(&request);
        let head = bytes.len() - request.body.len();
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

#[test]
fn huge_lengths_are_refused_before_anything_is_allocated() {
    // A tenant of 4,294,967,294 bytes.
    let bytes = Bytes::from_static(&[1, 0xFE, 0xFF, 0xFF, 0xFF, b'a']);
    assert_eq!(SpooledRequest::decode(&bytes), Err(DecodeError::Short));
    assert_eq!(SpooledRequest::decode(&Bytes::from_static(&[9])), Err(DecodeError::Version(9)));
}

/// Four bytes a character, and what stands around them.
const _: () = assert!(TENANT_ID_CHARS_MAX * 4 + 64 <= SUMMARY_BYTES_MAX);
