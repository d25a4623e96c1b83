#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::nodes::node::{Demands, NodeState, Spooled};

const KEY: Uuid = Uuid::from_u128(7);

fn node(id: u128, state: NodeState, demand: Option<f64>) -> Node {
    let demands: Demands = demand.map(|events| (KEY, (Some(events), None))).into_iter().collect();
    Node {
        id: Uuid::from_u128(id),
        name: String::new(),
        url: None,
        version: String::new(),
        schema_version: 0,
        state,
        started_at: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
        spooled: Spooled::default(),
        clock_skew_ms: 0,
        process_id: Uuid::nil(),
        demands,
    }
}

fn events(own: u128, nodes: &[Node]) -> f64 {
    shares(Uuid::from_u128(own), nodes).of(KEY).events
}

#[test]
fn who_serves_shares() {
    use NodeState::{Degraded, Draining, Lost, Ready, Starting};
    let states = [Ready, Degraded, Draining, Lost, Starting];
    let nodes: Vec<Node> = (1..).zip(states).map(|(id, state)| node(id, state, None)).collect();
    assert_eq!(shares(Uuid::from_u128(1), &nodes).every, 0.5);
    // One that starts, or is not seen yet, counts itself.
    assert_eq!(shares(Uuid::from_u128(5), &nodes).every, 1.0 / 3.0);
    assert_eq!(shares(Uuid::from_u128(9), &nodes).every, 1.0 / 3.0);
    assert_eq!(shares(Uuid::from_u128(1), &[]).every, 1.0);
}

#[test]
fn a_client_of_one_node_has_nearly_all_of_its_limit_there() {
    let nodes = [1, 2, 3, 4].map(|id| node(id, NodeState::Ready, (id == 1).then_some(3.0)));
    assert!((events(1, &nodes) - 0.925).abs() < 1e-9);
    assert!((events(2, &nodes) - 0.025).abs() < 1e-9, "and others would serve it");
}

#[test]
fn what_nobody_asks_for_is_everybodys() {
    let nodes = [1, 2].map(|id| node(id, NodeState::Ready, (id == 1).then_some(0.4)));
    assert!((events(1, &nodes) - (0.05 + 0.9 * 0.7)).abs() < 1e-9);
    assert!((events(2, &nodes) - (0.05 + 0.9 * 0.3)).abs() < 1e-9);
}

#[test]
fn a_part_shrinks_at_once_and_grows_slowly() {
    let mut parts = Parts::default();
    let of = |every: f64, key: f64| Shares { every, of: [(KEY, Share { events: key, bytes: key })].into() };
    assert_eq!(parts.next(of(1.0, 0.5)).of(KEY).events, 0.5, "there was nothing before");
    assert_eq!(parts.next(of(0.5, 0.9)).every, 0.5);
    for _ in 0..SHARE_GROWS_AFTER - 2 {
        assert_eq!(parts.next(of(1.0, 0.9)).of(KEY).events, 0.5);
    }
    let grown = parts.next(of(1.0, 0.9));
    assert_eq!((grown.of(KEY).events, grown.every), (0.9, 0.5));
    // A key that is not named any more had the part of all the others.
    assert_eq!(parts.next(Shares::equal(5)).of(KEY).events, 0.2);
}

proptest! {
    #[test]
    fn the_parts_of_all_are_the_whole(demands in prop::collection::vec(prop::option::of(0.0_f64..5.0), 1..12)) {
        let nodes: Vec<Node> = (1..).zip(&demands).map(|(id, demand)| node(id, NodeState::Ready, *demand)).collect();
        let parts: Vec<f64> = (1..).zip(&demands).map(|(id, _)| events(id, &nodes)).collect();
        prop_assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{parts:?}");
        let floor = SHARE_FLOOR / demands.len() as f64;
        prop_assert!(parts.iter().all(|part| *part >= floor - 1e-12), "{parts:?}");
    }

    /// Nodes that see the same rows, each up to three heartbeats later than another, never have more than the limit in sum.
    #[test]
    fn late_nodes_never_have_more_than_the_limit(
        history in prop::collection::vec(prop::collection::vec(0.0_f64..3.0, 3), 8..30),
        late in prop::collection::vec(0_usize..3, 3),
    ) {
        let at = |beat: usize| -> Vec<Node> {
            (1..).zip(&history[beat]).map(|(id, demand)| node(id, NodeState::Ready, Some(*demand))).collect()
        };
        let mut parts = [Parts::default(), Parts::default(), Parts::default()];
        for now in 3..history.len() {
            let of = |node: usize, parts: &mut Parts| {
                let id = Uuid::from_u128(node as u128 + 1);
                parts.next(shares(id, &at(now - late[node]))).of(KEY).events
            };
            let sum: f64 = parts.iter_mut().enumerate().map(|(node, parts)| of(node, parts)).sum();
            // Once each has seen as many heartbeats as it waits for.
            prop_assert!(now < 3 + SHARE_GROWS_AFTER || sum <= 1.0 + 1e-9, "{sum}");
        }
    }
}
