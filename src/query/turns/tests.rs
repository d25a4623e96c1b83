//! Turns against a model: reads come, end and give up in any order.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use proptest::prelude::*;

use super::*;

const NOBODY: [Ticket; 0] = [];
const SECOND: Duration = Duration::from_secs(1);

fn tenant(name: &str) -> Arc<str> {
    name.into()
}

/// As if nobody had read for long.
fn ask(turns: &mut Turns, tenant_id: &Arc<str>) -> Asked {
    turns.asked = [None, None];
    turns.ask(tenant_id, Instant::now())
}

/// Ends one where others have not read for long, so that one may begin.
fn end(turns: &mut Turns, tenant_id: &Arc<str>, took: Duration) -> Option<Ticket> {
    turns.asked = [None, None];
    let next = turns.end(tenant_id, took, Instant::now());
    assert!(next.len() <= 1, "{next:?}");
    next.first().copied()
}

fn ticket(asked: Asked) -> Ticket {
    match asked {
        Asked::Wait(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tenant_holds_its_share_and_then_waits_and_then_is_refused() {
    let mut turns = Turns::new(8, 2);
    let [a, b] = ["a", "b"].map(tenant);
    assert_eq!([ask(&mut turns, &a), ask(&mut turns, &a)], [Asked::Now, Asked::Now]);
    let first = ticket(ask(&mut turns, &a));
    let waiting = (1..2 * READS_WAITING_PER_READER).map(|_| ticket(ask(&mut turns, &a))).count();
    assert_eq!(ask(&mut turns, &a), Asked::Refused(Share::Tenant));
    assert_eq!((turns.running(), turns.waiting()), (2, waiting + 1));
    assert_eq!(ask(&mut turns, &b), Asked::Now, "others are not kept waiting");
    assert_eq!(end(&mut turns, &a, SECOND), Some(first));
    assert_eq!(end(&mut turns, &b, SECOND), None, "nobody may have what is free");
}

#[test]
fn who_has_fewest_is_next_and_then_who_was_served_longest_ago() {
    let mut turns = Turns::new(2, 2);
    let [a, b, c] = ["a", "b", "c"].map(tenant);
    assert_eq!([ask(&mut turns, &a), ask(&mut turns, &a)], [Asked::Now, Asked::Now]);
    let of_a = [(); 2].map(|()| ticket(ask(&mut turns, &a)));
    let of_b = [(); 2].map(|()| ticket(ask(&mut turns, &b)));
    let of_c = ticket(ask(&mut turns, &c));
    assert_eq!(turns.share(&b), Share::All);
    // One of a ends: a still has one under way, b and c have none, and b asked first.
    assert_eq!(end(&mut turns, &a, SECOND), Some(of_b[0]));
    // Now a has none under way either, and waits longer than c.
    assert_eq!(end(&mut turns, &a, SECOND), Some(of_a[0]));
    assert_eq!(end(&mut turns, &b, SECOND), Some(of_c), "b and a were served since c came");
    assert_eq!(end(&mut turns, &a, SECOND), Some(of_b[1]), "a was served after b");
}

/// As many clients of dashboards, each time for another tenant: nobody is overtaken again and again.
#[test]
fn tenants_that_come_and_go_are_served_as_they_come() {
    let mut turns = Turns::new(1, 1);
    let name = |n: usize| tenant(&format!("t{}", n * 7_919 % 1_000));
    assert_eq!(ask(&mut turns, &name(0)), Asked::Now);
    let patient = tenant("patient");
    let mut waiting: VecDeque<(Arc<str>, Ticket)> = VecDeque::new();
    let of_patient = [(); 2].map(|()| ticket(ask(&mut turns, &patient)));
    waiting.push_back((Arc::clone(&patient), of_patient[0]));
    for n in 1..=2 {
        waiting.push_back((name(n), ticket(ask(&mut turns, &name(n)))));
    }
    let mut under_way = name(0);
    let mut left_of_patient = of_patient[1..].iter();
    for n in 3..40 {
        let (next, ticket_of_next) = waiting.pop_front().unwrap();
        assert_eq!(end(&mut turns, &under_way, SECOND), Some(ticket_of_next));
        if next == patient
            && let Some(ticket) = left_of_patient.next()
        {
            // Its next read stands behind those that came before it had its turn.
            waiting.push_back((Arc::clone(&patient), *ticket));
        }
        under_way = next;
        waiting.push_back((name(n), ticket(ask(&mut turns, &name(n)))));
    }
    assert_eq!(left_of_patient.next(), None);
}

#[test]
fn dear_reads_hold_a_part_of_a_share_while_others_read() {
    let now = Instant::now();
    let mut turns = Turns::new(16, 8);
    let [dear, other] = ["dear", "other"].map(tenant);
    let cheap = READ_DEAR / 2;
    for took in [cheap, 100 * READ_DEAR] {
        assert_eq!([turns.ask(&dear, now), turns.ask(&dear, now)], [Asked::Now, Asked::Now]);
        assert_eq!(turns.end(&dear, took, now), NOBODY);
    }
    assert_eq!(turns.ask(&other, now), Asked::Now);
    // Two are under way, a quarter of its share.
    let waiting = [(); 9].map(|()| ticket(turns.ask(&dear, now)));
    assert_eq!(turns.share(&dear), Share::Tenant);
    assert_eq!(turns.end(&dear, 10 * READ_DEAR, now), [waiting[0]]);
    assert_eq!(turns.end(&other, cheap, now), NOBODY, "a free reader is not for it");
    // Nobody else has read for long: those that wait have their whole share.
    let later = now + READS_OF_OTHERS;
    assert_eq!(turns.end(&dear, 10 * READ_DEAR, later), waiting[1..8]);
    assert_eq!(turns.running(), 8);
    // Reads that became cheap again are reads like others'.
    let mut next = Vec::new();
    for _ in 0..100 {
        next.extend(turns.end(&dear, cheap, later));
        assert!(!matches!(turns.ask(&dear, later), Asked::Refused(_)));
    }
    assert_eq!(next[0], waiting[8]);
    turns.ask(&other, later);
    assert_eq!(turns.end(&dear, cheap, later).len(), 1, "its whole share, although others read");
}

#[test]
fn who_gives_up_is_passed_over() {
    let mut turns = Turns::new(1, 1);
    let a = tenant("a");
    assert_eq!(ask(&mut turns, &a), Asked::Now);
    let [first, second] = [(); 2].map(|()| ticket(ask(&mut turns, &a)));
    turns.give_up(&a, first);
    turns.give_up(&a, first);
    assert_eq!((turns.waiting(), end(&mut turns, &a, SECOND)), (1, Some(second)));
    assert_eq!(end(&mut turns, &a, SECOND), None);
    assert!(turns.tenants.is_empty(), "only tenants with reads are remembered");
}

#[test]
fn a_wait_is_told_by_how_long_reads_take() {
    let mut turns = Turns::new(4, 2);
    let a = tenant("a");
    assert_eq!(turns.wait(&a, Share::All), RETRY_AFTER_MIN);
    for _ in 0..100 {
        ask(&mut turns, &a);
        end(&mut turns, &a, 8 * SECOND);
    }
    for _ in 0..5 {
        ask(&mut turns, &a);
    }
    // Three wait, and one more, for two readers of about 8 s a read.
    assert_eq!(turns.wait(&a, Share::Tenant).as_secs_f64().round(), 16.0);
    assert_eq!(turns.wait(&tenant("b"), Share::All).as_secs_f64().round(), 8.0);
}

proptest! {
    /// Whatever happens: no more reads than readers, no tenant beyond its share, no reader free while somebody may have it,
    /// waiting within its bounds, each tenant in its order, and every ticket comes up once or is given up.
    #[test]
    fn readers_are_shared(
        readers in 1_usize..6,
        share in 1_usize..6,
        steps in prop::collection::vec((0_usize..5, 0_usize..4), 1..400),
    ) {
        let share = share.min(readers);
        let mut turns = Turns::new(readers, share);
        let names: Vec<Arc<str>> = (0..5).map(|n| tenant(&format!("t{n}"))).collect();
        let (mut running, mut waiting) = ([0_usize; 5], [(); 5].map(|()| VecDeque::<Ticket>::new()));
        for (who, what) in steps {
            let name = &names[who];
            match what {
                0 | 1 => match ask(&mut turns, name) {
                    Asked::Now => running[who] += 1,
                    Asked::Wait(ticket) => waiting[who].push_back(ticket),
                    Asked::Refused(Share::Tenant) => {
                        let full = waiting[who].len() >= share * READS_WAITING_PER_READER;
                        prop_assert!(full || running[who] >= share);
                    }
                    Asked::Refused(Share::All) => {
                        let all: usize = waiting.iter().map(VecDeque::len).sum();
                        prop_assert_eq!(all, readers * READS_WAITING_PER_READER);
                    }
                },
                2 if running[who] > 0 => {
                    running[who] -= 1;
                    let fewest = (0..5).filter(|n| !waiting[*n].is_empty() && running[*n] < share).map(|n| running[n]).min();
                    let next = end(&mut turns, name, SECOND);
                    prop_assert_eq!(next.is_some(), fewest.is_some());
                    if let Some(next) = next {
                        let whose = (0..5).find(|n| waiting[*n].front() == Some(&next)).expect("first of its tenant");
                        prop_assert_eq!(Some(running[whose]), fewest);
                        waiting[whose].pop_front();
                        running[whose] += 1;
                    }
                }
                3 if !waiting[who].is_empty() => {
                    let ticket = waiting[who].remove(waiting[who].len() / 2).expect("it is there");
                    turns.give_up(name, ticket);
                }
                _ => {}
            }
            let all: usize = running.iter().sum();
            prop_assert_eq!((turns.running(), turns.waiting()), (all, waiting.iter().map(VecDeque::len).sum()));
            prop_assert!(all <= readers && running.iter().all(|count| *count <= share));
            let idle = all < readers && (0..5).any(|n| !waiting[n].is_empty() && running[n] < share);
            prop_assert!(!idle, "a reader is free and somebody may have it");
            let busy = (0..5).filter(|n| running[*n] > 0 || !waiting[*n].is_empty()).count();
            prop_assert_eq!(turns.tenants.len(), busy, "only tenants with reads are remembered");
        }
    }
}
