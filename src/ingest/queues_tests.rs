use std::collections::BTreeMap;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Item {
    tenant_id: Arc<str>,
    rows: usize,
    number: u32,
}

impl Load for Item {
    fn tenant_id(&self) -> &Arc<str> {
        &self.tenant_id
    }
    fn rows(&self) -> usize {
        self.rows
    }
    fn bytes(&self) -> usize {
        self.rows * 400
    }
}

const LINGER: Duration = Duration::from_millis(5);

fn queues(joined_max: usize) -> Queues<Item> {
    Queues::new(Seal { rows: 1000, bytes: 1 << 20, linger: LINGER, joined_max, gathers: false })
}

fn item(tenant: &str, rows: usize, number: u32) -> Item {
    Item { tenant_id: tenant.into(), rows, number }
}

fn batch(next: Next<Item>) -> Vec<Item> {
    match next {
        Next::Batch(batch) => batch,
        other => panic!("no batch: {other:?}"),
    }
}

fn tenants(batch: &[Item]) -> Vec<&str> {
    let mut names: Vec<&str> = batch.iter().map(|item| &*item.tenant_id).collect();
    names.dedup();
    names
}

#[test]
fn a_full_tenant_leaves_at_once_and_alone() {
    let (mut queues, now) = (queues(1), Instant::now());
    assert!(queues.push(item("small", 10, 0), now), "the first one starts the linger");
    assert!(queues.push(item("big", 600, 1), now));
    assert_eq!(queues.next(now, false, 0), Next::Wait(now + LINGER));
    assert!(queues.push(item("big", 600, 2), now), "full");
    let first = batch(queues.next(now, false, 0));
    assert_eq!(first.iter().map(|item| item.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(queues.next(now, false, 0), Next::Wait(now + LINGER));
    assert_eq!(tenants(&batch(queues.next(now + LINGER, false, 0))), ["small"]);
    assert_eq!(queues.next(now, false, 0), Next::Idle);
    assert_eq!((queues.len(), queues.rows), (0, 0));
}

#[test]
fn bytes_seal_as_well_as_rows() {
    let (mut queues, now) = (queues(1), Instant::now());
    queues.seal.bytes = 4000;
    queues.push(item("a", 10, 0), now);
    queues.push(item("a", 1, 1), now);
    assert_eq!(batch(queues.next(now, false, 0)).len(), 1);
    assert_eq!(queues.next(now, false, 0), Next::Wait(now + LINGER));
}

#[test]
fn small_tenants_share_a_batch_of_bounded_size() {
    let (mut queues, now) = (queues(4), Instant::now());
    for number in 0..10_000 {
        queues.push(item(&format!("t{number}"), 10, number), now);
    }
    let mut taken = 0;
    while queues.len() > 0 {
        let batch = batch(queues.next(now + LINGER, false, 0));
        assert_eq!(batch.iter().map(|item| item.rows).sum::<usize>(), 1000);
        taken += batch.len();
    }
    assert_eq!(taken, 10_000);
}

#[test]
fn a_huge_tenant_fills_many_batches_and_delays_nobody() {
    let (mut queues, now) = (queues(1), Instant::now());
    for number in 0..100 {
        queues.push(item("huge", 1000, number), now);
    }
    queues.push(item("other", 1000, 0), now);
    queues.push(item("small", 1, 0), now);
    let later = now + LINGER;
    let order: Vec<String> = (0..4).map(|_| tenants(&batch(queues.next(later, false, 3)))[0].to_owned()).collect();
    assert_eq!(order, ["huge", "small", "other", "huge"]);
}

#[test]
fn batches_share_a_transaction_only_when_writers_are_short() {
    let now = Instant::now();
    let count = |idle: usize| {
        let mut queues = queues(4);
        for number in 0..5 {
            queues.push(item(&format!("t{number}"), 1000, number), now);
        }
        batch(queues.next(now, false, idle)).len()
    };
    assert_eq!([count(0), count(3), count(4), count(9)], [4, 2, 1, 1]);
}

#[test]
fn batches_that_share_a_transaction_are_of_one_tenant_first() {
    let (mut queues, now) = (queues(4), Instant::now());
    for number in 0..6 {
        queues.push(item("a", 1000, number), now);
        queues.push(item("b", 1000, number), now);
    }
    let of =
        |batch: Vec<Item>| batch.iter().map(|item| format!("{}{}", item.tenant_id, item.number)).collect::<Vec<_>>();
    assert_eq!(of(batch(queues.next(now, false, 0))), ["a0", "a1", "a2", "a3"]);
    assert_eq!(of(batch(queues.next(now, false, 0))), ["b0", "b1", "b2", "b3"], "and then it is the next one's turn");
    assert_eq!(of(batch(queues.next(now, false, 0))), ["a4", "a5", "b4", "b5"]);
    assert_eq!(queues.next(now, false, 0), Next::Idle);
}

#[test]
fn what_comes_late_is_gathered() {
    let (mut queues, now) = (queues(4), Instant::now());
    queues.seal.gathers = true;
    for number in 0..10_000 {
        queues.push(item(&format!("t{number}"), 1, number), now);
    }
    assert_eq!(queues.next(now, false, 0), Next::Wait(now + LINGER));
    let taken: Vec<usize> = (0..3).map(|_| batch(queues.next(now + LINGER, false, 0)).len()).collect();
    assert_eq!((taken, queues.len(), queues.rows), (vec![4000, 4000, 2000], 0, 0));
}

#[test]
fn closing_makes_everything_due() {
    let (mut queues, now) = (queues(1), Instant::now());
    queues.push(item("a", 1, 0), now);
    assert_eq!(batch(queues.next(now, true, 0)).len(), 1);
}

/// Random traffic: everything comes out once, each tenant's in order, and nobody is passed over for long.
#[test]
fn a_random_run_loses_and_reorders_nothing() {
    for seed in 0..200u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut queues = queues(1 + usize::try_from(random(4)).expect("small"));
        let mut now = Instant::now();
        let mut sent: BTreeMap<String, u32> = BTreeMap::new();
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut waiting_since: BTreeMap<(String, u32), usize> = BTreeMap::new();
        let mut picks = 0;
        for step in 0..400 {
            let draining = step >= 300;
            if !draining && random(3) > 0 {
                let tenants = 1 + random(30);
                let tenant = format!("t{}", random(tenants));
                let rows_max = if random(4) == 0 { 1500 } else { 40 };
                let rows = usize::try_from(1 + random(rows_max)).expect("small");
                let number = sent.entry(tenant.clone()).or_default();
                waiting_since.insert((tenant.clone(), *number), picks);
                queues.push(item(&tenant, rows, *number), now);
                *number += 1;
            } else {
                now += Duration::from_micros(random(4000));
                if let Next::Batch(batch) = queues.next(now, draining, usize::try_from(random(5)).expect("small")) {
                    picks += 1;
                    assert!(!batch.is_empty(), "seed {seed}");
                    for item in batch {
                        let tenant = item.tenant_id.to_string();
                        let next = seen.entry(tenant.clone()).or_default();
                        assert_eq!(item.number, *next, "seed {seed}: {tenant} out of order");
                        *next += 1;
                        let since = waiting_since.remove(&(tenant, item.number)).expect("sent once");
                        assert!(picks - since <= 300, "seed {seed}");
                    }
                }
            }
            assert_eq!(queues.len(), waiting_since.len(), "seed {seed}");
        }
        while let Next::Batch(batch) = queues.next(now, true, 0) {
            for item in batch {
                *seen.entry(item.tenant_id.to_string()).or_default() += 1;
            }
        }
        assert_eq!(sent, seen, "seed {seed}");
        assert_eq!((queues.len(), queues.rows, queues.tenants.len()), (0, 0, 0), "seed {seed}: memory");
    }
}
