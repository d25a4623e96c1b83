//! Limits of keys hold for all nodes together, whichever of them a client talks to.

use std::time::Duration;

use crate::client::Client;
use crate::env::{Env, Test, TestResult, until};
use crate::nodes::{limited, node, rate, sees, stand};
use crate::tests;

pub const TESTS: &[Test] = tests!(a_limit_is_of_all_nodes, a_client_of_one_node_has_its_limit, shares_follow_who_lives);

/// Events a second of the key, and how many a request has.
const LIMIT: usize = 200;
const EACH: usize = 5;
const WHILE: Duration = Duration::from_secs(5);

/// What a limit and a burst let through meanwhile, and one request of each client that a bucket goes into debt for.
fn most(clients: usize) -> usize {
    LIMIT * 6 + clients * EACH
}

fn both(env: &Env) -> [crate::process::Tidegate; 2] {
    let nodes = [node(env, "a", &[]), node(env, "b", &[])];
    let operator = env.key("default", "operator");
    nodes.iter().for_each(|node| sees(&node.with(&operator), 2));
    nodes
}

fn a_limit_is_of_all_nodes(env: &Env) -> TestResult {
    let nodes = both(env);
    let key = limited(env, LIMIT.try_into()?);
    let clients = nodes.each_ref().map(|node| node.with(&key));
    let taken = rate(&clients.each_ref(), WHILE, EACH);
    assert!(taken <= most(2), "{taken} in 5 s, of {LIMIT} a second and as many at once");
    assert!(taken >= LIMIT * 3, "{taken} in 5 s: shares that nobody may use");
    Ok(())
}

/// Waits until a client is let through about what its limit is.
fn comes_to(client: &Client, part: f64) {
    let goal = LIMIT as f64 * part * 2.0;
    until("the node has its part", || (rate(&[client], Duration::from_secs(2), EACH) as f64 >= goal).then_some(()));
}

fn a_client_of_one_node_has_its_limit(env: &Env) -> TestResult {
    let nodes = both(env);
    let client = nodes[0].with(&limited(env, LIMIT.try_into()?));
    comes_to(&client, 0.85);
    let taken = rate(&[&client], WHILE, EACH);
    assert!(taken <= most(1), "{taken} in 5 s");
    Ok(())
}

fn shares_follow_who_lives(env: &Env) -> TestResult {
    let [first, mut second] = both(env);
    let key = limited(env, LIMIT.try_into()?);
    let clients = [&first, &second].map(|node| node.with(&key));
    rate(&clients.each_ref(), WHILE, EACH);
    // The other's part is its own once it is lost, and that of both from when it is back.
    second.kill();
    stand(env, &[("a", "ready"), ("b", "lost")]);
    comes_to(&clients[0], 0.95);
    let second = node(env, "b", &[]);
    let operator = env.key("default", "operator");
    [&first, &second].iter().for_each(|node| sees(&node.with(&operator), 2));
    let clients = [&first, &second].map(|node| node.with(&key));
    let taken = rate(&clients.each_ref(), WHILE, EACH);
    assert!(taken <= most(2) + LIMIT, "{taken} in 5 s: with what the one that came up took before it was seen");
    Ok(())
}
