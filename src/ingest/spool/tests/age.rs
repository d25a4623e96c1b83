//! How long the oldest record has waited, as the process says it and as `doctor` finds it.

use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::sim::Sim;
use crate::ingest::spool::record::Meta;
use crate::ingest::spool::{Spool, SpoolPlace, look};

/// Records of one stretch of the index, so that the first of them, long drained, would be the nearest guess.
#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_is_the_first_that_is_not_drained() {
    let sim = Sim::new(1);
    let place = SpoolPlace { dir: PathBuf::from("/spool"), max_bytes: 1 << 20, segment_bytes: 1 << 16 };
    let spool = Spool::open(place.clone(), Arc::new(sim.clone())).unwrap().0;
    let mut appended_us = Vec::new();
    for n in 0..4 {
        sim.0.lock().unwrap().clock_us += 25_000_000;
        appended_us.push(sim.0.lock().unwrap().clock_us);
        spool.append(vec![n; 100], Meta { receipt: Uuid::now_v7(), items: 1 }).await.unwrap();
    }
    let entries = spool.next(1 << 20).await;
    assert_eq!(entries.len(), 4);
    for (drained, entry) in entries.iter().enumerate() {
        let near = |age_us: u64| {
            let now_us = sim.0.lock().unwrap().clock_us;
            let expected = u64::try_from(now_us - appended_us[drained]).unwrap();
            assert!(expected.abs_diff(age_us) < 1_000_000, "{drained} drained: {age_us} and not {expected}");
        };
        near(spool.stats().oldest_age_us);
        near(look(&sim, &place.dir).unwrap().unwrap().stats.oldest_age_us);
        spool.acknowledge(entry.sequence).await.unwrap();
    }
    assert_eq!((spool.stats().oldest_age_us, look(&sim, &place.dir).unwrap().unwrap().stats.oldest_age_us), (0, 0));
    spool.close().await;
}

/// The same where nothing is on its way to the database: a process that has just started.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_known_from_the_start() {
    let sim = Sim::new(2);
    let place = SpoolPlace { dir: PathBuf::from("/spool"), max_bytes: 1 << 20, segment_bytes: 1 << 16 };
    let spool = Spool::open(place.clone(), Arc::new(sim.clone())).unwrap().0;
    for n in 0..3 {
        sim.0.lock().unwrap().clock_us += 25_000_000;
        spool.append(vec![n; 100], Meta { receipt: Uuid::now_v7(), items: 1 }).await.unwrap();
    }
    let entry = spool.next(1).await.remove(0);
    spool.acknowledge(entry.sequence).await.unwrap();
    spool.close().await;
    sim.restart(false);
    let spool = Spool::open(place, Arc::new(sim.clone())).unwrap().0;
    let age_us = spool.stats().oldest_age_us;
    assert!((25_000_000..26_000_000).contains(&age_us), "{age_us}");
    spool.close().await;
}
