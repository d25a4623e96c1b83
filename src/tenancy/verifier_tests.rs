use std::net::Ipv4Addr;

use super::*;
use crate::tenancy::{Holder, OrgRetention, RateLimits, Scopes};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn cache() -> Cache {
    Cache::new(Rng::new(1))
}

fn record(id: Uuid) -> Record {
    let scopes = Scopes::parse("ingest").expect("a scope");
    let principal = Principal {
        tenant_id: "t".into(),
        holder: Holder::Key(id),
        scopes,
        limits: RateLimits::default(),
        keeps: OrgRetention::default(),
    };
    Record { hash: [0; 32], principal: Arc::new(principal), expires_at: None }
}

#[test]
fn a_flood_of_unknown_keys_is_stopped_and_known_ones_pass() {
    let mut cache = cache();
    let now = Instant::now();
    let [good, bad] = [(); 2].map(|()| Uuid::now_v7());
    cache.store(good, Some(record(good)), now);
    cache.store(bad, None, now);
    let flood: Vec<Uuid> = (0..1000).map(|_| Uuid::now_v7()).collect();
    let stopped = flood.iter().find(|id| !matches!(cache.find(**id, PEER, now), FoundKey::LookUp));
    assert!(stopped.is_some_and(|id| matches!(cache.find(*id, PEER, now), FoundKey::TooMany(1..=2))));
    assert!(matches!(cache.find(good, PEER, now), FoundKey::Fresh(Some(_))));
    assert!(matches!(cache.find(bad, PEER, now), FoundKey::Fresh(None)));
    let later = now + KEY_CACHE_TTL;
    assert!(matches!(cache.find(good, PEER, later), FoundKey::Refresh(Some(_))), "a good key is not limited");
    while matches!(cache.find(Uuid::now_v7(), PEER, later), FoundKey::LookUp) {}
    assert!(matches!(cache.find(bad, PEER, later), FoundKey::TooMany(_)), "a bad one is, each time");
    let other = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert!(matches!(cache.find(Uuid::now_v7(), other, later), FoundKey::LookUp), "others look up new keys");
}

#[test]
fn an_expired_entry_is_asked_again_by_one_request() {
    let mut cache = cache();
    let [good, bad] = [(); 2].map(|()| Uuid::now_v7());
    let now = Instant::now();
    cache.store(good, Some(record(good)), now);
    cache.store(bad, None, now);
    let later = now + KEY_CACHE_TTL;
    for id in [good, bad] {
        assert!(matches!(cache.find(id, PEER, later), FoundKey::Refresh(_) | FoundKey::LookUp));
        assert!(matches!(cache.find(id, PEER, later + Duration::from_millis(10)), FoundKey::Fresh(_)));
        assert!(matches!(cache.find(id, PEER, later + REFRESH_GRACE), FoundKey::Refresh(_) | FoundKey::LookUp));
    }
}

#[test]
fn while_the_database_does_not_answer_one_request_asks_and_no_other_waits() {
    let mut cache = cache();
    let (good, now) = (Uuid::now_v7(), Instant::now());
    cache.store(good, Some(record(good)), now);
    let asked = now + KEY_CACHE_TTL;
    assert!(matches!(cache.find(good, PEER, asked), FoundKey::Refresh(Some(_))));
    let failed = asked + KEY_LOOKUP_TIMEOUT;
    cache.unanswered(good, failed);
    assert!(matches!(cache.find(good, PEER, failed), FoundKey::Fresh(Some(_))));
    let again = failed + RETRY_PAUSE;
    assert!(matches!(cache.find(good, PEER, again), FoundKey::Refresh(Some(_))));
    assert!(matches!(cache.find(good, PEER, again + RETRY_PAUSE), FoundKey::Fresh(Some(_))), "one asks");
    assert!(matches!(cache.find(good, PEER, again + RETRY_MAX), FoundKey::Refresh(Some(_))), "it was given up");
    // An answer ends it: the next one is asked for as usual.
    cache.store(good, Some(record(good)), again);
    assert!(matches!(cache.find(good, PEER, again + KEY_CACHE_TTL), FoundKey::Refresh(Some(_))));
    cache.unanswered(good, again + KEY_CACHE_TTL);
    assert!(matches!(cache.find(good, PEER, again + KEY_STALE_MAX), FoundKey::Refresh(None)));
}

#[test]
fn a_key_of_an_earlier_process_is_asked_for_and_serves_while_nobody_answers() {
    let mut cache = cache();
    let (good, now) = (Uuid::now_v7(), Instant::now());
    let until = now + Duration::from_secs(60);
    cache.seed(good, record(good), until);
    assert!(matches!(cache.find(good, PEER, now), FoundKey::Refresh(Some(_))), "revoked meanwhile, perhaps");
    cache.unanswered(good, now);
    assert!(matches!(cache.find(good, PEER, now), FoundKey::Fresh(Some(_))));
    assert!(matches!(cache.find(good, PEER, until), FoundKey::Refresh(None)), "not for longer than a day");
    cache.store(good, None, until);
    assert!(matches!(cache.find(good, PEER, until), FoundKey::Fresh(None)));
}
