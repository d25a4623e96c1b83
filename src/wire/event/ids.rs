//! Event ids: UUIDv7 for events that bring none, UUIDv5 for ids that are not UUIDs, and for those of CloudEvents.

use uuid::{Builder, Uuid};

/// Namespace of every UUIDv5 that Tidegate derives from a foreign id. Changing it would change the id of an event
/// that is sent again.
const FOREIGN_NAMESPACE: Uuid = Uuid::from_u128(0x8f0e_7d1c_52a4_4b3e_9d61_0c7b_a2f5_e916);

/// Bits of a UUIDv7 below its counter, random in each id.
const TAIL_BITS: u32 = 32;
/// Bits of the counter, so that ids of one request sort in its order.
const COUNTER_BITS: u32 = 42;

/// What an id stands for by itself: the UUID that it is, else a UUIDv5 of tenant and text, so that the same text is
/// another id under another tenant.
pub fn bare_id(tenant_id: &str, text: &str) -> Uuid {
    Uuid::try_parse(text).unwrap_or_else(|_| hashed(&[tenant_id, text]))
}

/// The id of a CloudEvent, which is known by its source and its id together (CloudEvents 1.0.2, "id"): two sources may
/// give the same id to two events, also one that is a UUID.
pub fn cloud_event_id(tenant_id: &str, source: &str, text: &str) -> Uuid {
    hashed(&[tenant_id, source, text])
}

/// A UUIDv5 of texts, none of which holds a NUL.
fn hashed(texts: &[&str]) -> Uuid {
    Uuid::new_v5(&FOREIGN_NAMESPACE, texts.join("\0").as_bytes())
}

/// Makes UUIDv7s that ascend within a request (RFC 9562, 6.2, method 1). The system's randomness is asked once a
/// request: per id it would cost more than all the rest of the decoding.
#[derive(Debug)]
pub(super) struct IdSource {
    millis: u64,
    counter: u64,
    tail: u64,
}

impl IdSource {
    pub(super) fn new(received_at_us: i64) -> Self {
        // Of two such ids the low 64 bits are 32 bits of fresh randomness each, plus a counter that we need not trust.
        let (_, first) = Uuid::now_v7().as_u64_pair();
        let (_, second) = Uuid::now_v7().as_u64_pair();
        let mut tail = first.rotate_left(TAIL_BITS) ^ second;
        // The counter starts in its lower half, so that a request cannot make it overflow.
        let counter = scramble(&mut tail) >> (u64::BITS - COUNTER_BITS + 1);
        Self { millis: u64::try_from(received_at_us / 1000).unwrap_or(0), counter, tail }
    }

    pub(super) fn next_id(&mut self) -> Uuid {
        self.counter += 1;
        let random = u128::from(scramble(&mut self.tail) >> (u64::BITS - TAIL_BITS));
        // 48 bits of time, 4 of version, then 12 + 62 bits that the counter and the tail share; two are the variant.
        let low = (u128::from(self.counter) << TAIL_BITS) | random;
        let high_12 = low >> 62;
        let low_62 = low & ((1 << 62) - 1);
        Builder::from_u128(u128::from(self.millis) << 80 | high_12 << 64 | low_62)
            .with_version(uuid::Version::SortRand)
            .with_variant(uuid::Variant::RFC4122)
            .into_uuid()
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn scramble(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_of_the_time_received_and_ascend() {
        let mut source = IdSource::new(1_763_700_000_123_456);
        let ids: Vec<Uuid> = (0..10_000).map(|_| source.next_id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        for id in ids {
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!(id.as_u128() >> 80, 1_763_700_000_123);
        }
    }

    #[test]
    fn two_requests_of_one_millisecond_share_no_id() {
        assert_ne!(IdSource::new(1).next_id(), IdSource::new(1).next_id());
    }

    #[test]
    fn a_foreign_id_is_stable_and_belongs_to_its_tenant() {
        // Ids are stored: later versions must give the same ones.
        assert_eq!(bare_id("acme", "order-1").to_string(), "d7a60228-8852-5f2b-922e-f9a0daa9f2eb");
        assert_eq!(cloud_event_id("acme", "/shop", "order-1").to_string(), "471ae411-0b63-5dc0-94fa-48e94de959c4");
        assert_ne!(bare_id("acme", "order-1"), bare_id("other", "order-1"));
        assert_ne!(bare_id("a", "b"), bare_id("", "ab"));
        assert_eq!(bare_id("acme", "order-1").get_version_num(), 5);
    }

    #[test]
    fn a_uuid_stands_for_itself_but_in_a_cloud_event() {
        let id = Uuid::from_u128(7);
        assert_eq!(bare_id("acme", &id.to_string()), id);
        let of = |source| cloud_event_id("acme", source, &id.to_string());
        assert!(of("/a") != of("/b") && of("/a") != id);
        assert_ne!(cloud_event_id("t", "a", "bc"), cloud_event_id("t", "ab", "c"));
    }
}
