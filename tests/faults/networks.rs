//! Three nodes and their database, each in a network namespace of its own, behind a load balancer (scenario 51): a
//! node is killed, a node is cut from the database while clients reach it, and clocks of nodes are a day wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::books::Books;
use crate::client::{Client, Key};
use crate::cluster::{Cluster, DATABASE};
use crate::derived;
use crate::env::{Env, TestResult, until};
use crate::invariants::Scene;
use crate::network::{self, ADDRESSES, Network};
use crate::postgres::Sql;
use crate::private::variables;
use crate::process::{Finished, Tidegate};
use crate::scenario;
use crate::scenario::Scenario;
use crate::senders::Senders;
use crate::shared::make_key;
use crate::shim::{self, Clock};
use crate::told::Told;

pub const SCENARIOS: &[Scenario] = &[
    scenario!(s51_a_node_is_killed).needs(network::missing).slow(),
    scenario!(s51_a_node_is_cut_from_the_database).needs(network::missing).slow(),
    scenario!(s51_clocks_of_nodes_are_a_day_wrong).needs(missing).slow(),
];

const NODES: usize = 3;
/// Senders leave the machine some room: three nodes and a server are on it.
const PACE: Duration = Duration::from_millis(20);
/// Events a second of the key with a limit, and of each of its requests.
const LIMIT: usize = 100;
const EACH: usize = 5;
/// After so long a node that is silent is lost for the others, and jobs are led by others (docs/OPERATIONS.md).
const LOST_AFTER: Duration = Duration::from_secs(5);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn missing() -> Option<String> {
    network::missing().or_else(shim::missing)
}

/// Three nodes, their network and their database.
struct Fleet<'a> {
    env: &'a Env,
    nodes: Vec<Tidegate>,
    told: Arc<Told>,
    sql: Sql,
    operator: Key,
    limited: Key,
    more: [Vec<(String, String)>; NODES],
    /// A process that comes at the place of another has another port, so that what was said by whom can be told.
    port: u16,
    _cluster: Cluster,
    network: Network,
}

impl<'a> Fleet<'a> {
    /// With more variables of each.
    fn new(env: &'a Env, more: [Vec<(String, String)>; NODES]) -> Self {
        let network = Network::with_nodes(NODES);
        let cluster = Cluster::start_in(env, &network.of_database(), ADDRESSES);
        let first = serve(env, &network, 0, 8080, &more[0]);
        let sql = cluster.sql();
        let operator = make_key(&sql, "default", "operator");
        let limit = LIMIT.to_string();
        let arguments = ["keys", "create", "--org", "default", "--scopes", "ingest", "--json", "--burst", "1s"];
        let arguments = [&arguments[..], &["--events-per-second", &limit]].concat();
        let limited = Key::parse(&Finished::run(env, &cluster.variables(), &arguments).json());
        let mut nodes = vec![first];
        nodes.extend((1..NODES).map(|node| serve(env, &network, node, 8080, &more[node])));
        let told = Arc::new(Told::default());
        let fleet = Self { env, nodes, told, sql, operator, limited, more, port: 8080, _cluster: cluster, network };
        fleet.stand([true; NODES]);
        fleet
    }

    fn clients(&self) -> Vec<Client> {
        self.nodes.iter().map(|node| node.client.clone()).collect()
    }

    fn senders(&self) -> Senders {
        Senders::balanced(&self.told, &self.clients(), PACE)
    }

    /// What a node tells the operator of all, by their places; those that it does not know are null.
    fn seen_by(&self, node: usize) -> [Value; NODES] {
        let client = self.nodes[node].with(&self.operator);
        // One that has just started has not heard of the others yet, and says so.
        let answer = until("a node knows of the others", || {
            let answer = client.get("/v1/nodes");
            if answer.status == 503 { None } else { Some(answer.expect(200)) }
        });
        let listed = answer["nodes"].as_array().unwrap();
        std::array::from_fn(|place| {
            listed.iter().find(|found| found["name"] == name(place)).cloned().unwrap_or_default()
        })
    }

    /// Waits until each node that is there takes these for those that serve, and the others for lost.
    fn stand(&self, there: [bool; NODES]) {
        for asked in (0..NODES).filter(|node| there[*node]) {
            until("the nodes know of each other", || {
                let seen = self.seen_by(asked);
                let serves = |node: &Value| node["state"] == "ready" || node["state"] == "degraded";
                let is_so =
                    |place: usize| if there[place] { serves(&seen[place]) } else { seen[place]["state"] == "lost" };
                (0..NODES).all(is_so).then_some(())
            });
        }
    }

    /// The node that gives batches their offsets, while senders send.
    fn leader(&self, of: &[usize]) -> usize {
        let logged = |node: usize| Books::of(&self.nodes[node].client).get("tidegate_log_batches_total");
        let before: Vec<f64> = of.iter().map(|node| logged(*node)).collect();
        until("a node gives offsets", || {
            of.iter().zip(&before).find(|(node, before)| logged(**node) > **before + 0.5).map(|(node, _)| *node)
        })
    }

    fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Starts a node that was killed, at its place.
    fn start_again(&mut self, node: usize, senders: &Senders) {
        self.port += 1;
        self.nodes[node] = serve(self.env, &self.network, node, self.port, &self.more[node]);
        senders.place(node, &self.nodes[node].client);
    }

    /// How many requests are in a node's spool.
    fn spooled(&self, node: usize) -> f64 {
        Books::of(&self.nodes[node].client).get("tidegate_spool_records")
    }

    /// How many events of the key with a limit these nodes take in five seconds; what is refused has a sane
    /// Retry-After.
    fn taken(&self, nodes: &[usize]) -> usize {
        let (began, told) = (Instant::now(), &self.told);
        let clients: Vec<Client> = nodes.iter().map(|node| self.nodes[*node].with(&self.limited)).collect();
        let send = |client: &Client| {
            let mut taken = 0;
            while began.elapsed() < Duration::from_secs(5) {
                let answer = told.send(client, &told.request(false, EACH, 0)).expect("an answer");
                match answer.status {
                    200 | 202 => taken += EACH,
                    429 => {
                        let seconds: u32 = answer.header("retry-after").parse().expect("Retry-After");
                        assert!((1..=60).contains(&seconds), "{answer:?}");
                        // The pace of tries.
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    other => panic!("answered {other}: {}", answer.text()),
                }
            }
            taken
        };
        std::thread::scope(|scope| {
            let senders: Vec<_> = clients.iter().map(|client| scope.spawn(move || send(client))).collect();
            senders.into_iter().map(|sender| sender.join().unwrap()).sum()
        })
    }

    /// These nodes together take what the limit is, and no more.
    fn limit_holds(&self, nodes: &[usize]) {
        until("these nodes have the whole limit", || {
            let taken = self.taken(nodes);
            // Five seconds, one burst, and a request of each that its bucket goes into debt for.
            assert!(taken <= LIMIT * 6 + nodes.len() * EACH, "{taken} in 5 s by {nodes:?}, of {LIMIT} a second");
            (taken * 100 >= LIMIT * 5 * 80).then_some(())
        });
    }

    /// Everything that was promised is there, by every node's word.
    fn ends(&self, name: &str) {
        let scenes = self.nodes.iter().map(|node| Scene::new(self.env, node, &self.sql, &self.told));
        let scenes: Vec<Scene<'_>> = scenes.collect();
        let books: Vec<Books> = scenes.iter().map(Scene::settled).collect();
        // What was written is what there is, where no process took its books with it.
        if self.told.addresses().len() == NODES {
            let sum = |account: &str| books.iter().map(|books| books.items(account)).sum::<u64>();
            let count = |table: &str| u64::try_from(self.sql.count(table)).unwrap();
            assert_eq!(sum("committed_total"), count("events") + count("metrics"), "I4: all nodes and the database");
            assert_eq!(sum("dead_lettered_total"), count("dead_letter_events"), "I4: all nodes and the database");
        }
        derived::settled(&self.sql);
        scenes.iter().for_each(|scene| scene.assert_invariants(name));
    }
}

fn name(node: usize) -> String {
    format!("node-{node}")
}

fn serve(env: &Env, network: &Network, node: usize, port: u16, more: &[(String, String)]) -> Tidegate {
    let (address, database) = (format!("{}:{port}", network.address(node)), network.database(node));
    let mut variables = variables(|role| format!("host={database} port=5432 user={role} dbname={DATABASE}"));
    variables.extend_from_slice(more);
    let settings =
        [format!("data_dir={}", name(node)), format!("node.name={}", name(node)), format!("node.url=http://{address}")];
    let flags: Vec<String> = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]).collect();
    Tidegate::serve_in(&network.node(node), &address, env, &variables, &flags)
}

/// The others, in order.
fn but(node: usize) -> Vec<usize> {
    (0..NODES).filter(|other| *other != node).collect()
}

/// The one that leads is killed under load, and its jobs move; then one that has requests in its spool: they come
/// with its next start.
fn s51_a_node_is_killed(env: &Env) -> TestResult {
    let mut fleet = Fleet::new(env, Default::default());
    let senders = fleet.senders();
    senders.flow(30);
    let first = fleet.leader(&[0, 1, 2]);
    fleet.kill(first);
    let killed = Instant::now();
    let second = fleet.leader(&but(first));
    let moved = killed.elapsed();
    assert!(moved < LOST_AFTER, "the jobs of a node that was killed moved after {moved:?}");
    senders.flow(30);
    fleet.start_again(first, &senders);
    fleet.stand([true; NODES]);
    senders.flow(30);

    fleet.network.cut(second);
    until("the node spools", || (fleet.spooled(second) > 3.5).then_some(()));
    // Another one can say of a request where it is.
    let request = fleet.told.request(true, 3, 1);
    let answer = fleet.told.spool(&fleet.nodes[second].client, &request).expect("an answer").expect(202);
    let receipt = format!("/v1/receipts/{}", answer["receipt"].as_str().unwrap());
    let asked = &fleet.nodes[first].client;
    assert_eq!(asked.get(&receipt).expect(200)["status"], "spooled");
    fleet.kill(second);
    fleet.network.join(second);
    assert_eq!(fleet.nodes[first].client.get(&receipt).problem(503, "node_unavailable")["status"], 503);
    fleet.leader(&but(second));
    senders.flow(30);
    fleet.start_again(second, &senders);
    until("what it had in its spool is written", || {
        let answer = fleet.nodes[first].client.get(&receipt);
        (answer.status == 200 && answer.json()["status"] == "committed").then_some(())
    });
    fleet.stand([true; NODES]);
    senders.flow(30);
    senders.finish();
    fleet.ends("s51_a_node_is_killed");
    Ok(())
}

/// The one that leads is cut from the database, and clients go on to reach it.
fn s51_a_node_is_cut_from_the_database(env: &Env) -> TestResult {
    let fleet = Fleet::new(env, Default::default());
    fleet.limit_holds(&[0, 1, 2]);
    let senders = fleet.senders();
    senders.flow(30);
    let cut = fleet.leader(&[0, 1, 2]);
    fleet.network.cut(cut);
    let began = Instant::now();
    let next = fleet.leader(&but(cut));
    let moved = began.elapsed();
    assert!(moved < Duration::from_secs(15), "the jobs of a node that was cut off moved after {moved:?}");
    assert_ne!(next, cut);
    until("it spools", || (fleet.spooled(cut) > 3.5).then_some(()));
    // It is not taken out: it takes what is sent to it.
    let ready = fleet.nodes[cut].anonymous().get("/readyz").expect(200);
    assert_eq!(ready["status"], "degraded", "{ready}");
    senders.flow(30);
    senders.spool(10);
    for asked in but(cut) {
        until("the others take it for lost", || (fleet.seen_by(asked)[cut]["state"] == "lost").then_some(()));
    }
    fleet.limit_holds(&but(cut));

    fleet.network.join(cut);
    until("it drains", || (fleet.spooled(cut) < 0.5).then_some(()));
    fleet.stand([true; NODES]);
    fleet.limit_holds(&[0, 1, 2]);
    senders.flow(30);
    senders.finish();
    fleet.ends("s51_a_node_is_cut_from_the_database");
    Ok(())
}

/// The first is a day ahead and leads all jobs, the second a day behind.
fn s51_clocks_of_nodes_are_a_day_wrong(env: &Env) -> TestResult {
    let offsets = [DAY, -DAY];
    let clocks = [0, 1].map(|node| {
        let folder = env.path().join(format!("clock-{node}"));
        std::fs::create_dir(&folder).unwrap();
        let clock = Clock::new(&folder);
        clock.set(offsets[node]);
        clock
    });
    // Short of a day: the ledger must not be taken for a day old.
    let keeps = || ("TIDEGATE_RETENTION_LEDGER".to_owned(), "1h".to_owned());
    let mut more: [Vec<(String, String)>; NODES] = std::array::from_fn(|_| vec![keeps()]);
    for (node, clock) in clocks.iter().enumerate() {
        more[node].extend(clock.variables());
    }
    let fleet = Fleet::new(env, more);
    fleet.limit_holds(&[0, 1, 2]);
    let senders = fleet.senders();
    senders.flow(30);

    // The ledger: a request is the same at each node, also after the node that is ahead has looked for what has
    // expired.
    let request = fleet.told.request(true, 3, 1);
    let first = fleet.told.send(&fleet.nodes[0].client, &request).expect("an answer").accepted(3, 1);
    let is_remembered = || {
        for node in &fleet.nodes {
            let again = until("the ledger is asked", || {
                fleet.told.send(&node.client, &request).filter(|answer| answer.status == 200)
            });
            let again = again.json();
            assert_eq!((&again["receipt"], &again["duplicate"]), (&first["receipt"], &true.into()));
        }
    };
    is_remembered();

    // Windows: each goes by its own clock.
    for (node, off) in [DAY, -DAY, SignedDuration::ZERO].into_iter().enumerate() {
        let at = |hours: i64| Timestamp::now() + off + SignedDuration::from_hours(hours);
        let times = [at(6 * 24 + 12), at(-364 * 24), at(0), at(7 * 24 + 12), at(-366 * 24)];
        let request = fleet.told.request_at(true, &times, 3);
        fleet.told.send(&fleet.nodes[node].client, &request).expect("an answer").accepted(3, 2);
    }

    // Heartbeats: nobody takes another for lost, for longer than it takes to be lost, and all see who is off.
    let mut last: [Value; NODES] = fleet.seen_by(2).map(|node| node["last_seen"].clone());
    for _ in 0..8 {
        last = until("each is heard of again", || {
            for asked in 0..NODES {
                let seen = fleet.seen_by(asked);
                assert!(seen.iter().all(|node| node["state"] == "ready" || node["state"] == "degraded"), "{seen:?}");
            }
            let next = fleet.seen_by(2).map(|node| node["last_seen"].clone());
            next.iter().zip(&last).all(|(next, last)| next != last).then_some(next)
        });
    }
    for asked in 0..NODES {
        let seen = fleet.seen_by(asked);
        for (node, off) in [DAY, -DAY, SignedDuration::ZERO].into_iter().enumerate() {
            let skew_ms = i128::from(seen[node]["clock_skew_ms"].as_i64().unwrap());
            assert!((skew_ms - off.as_millis()).abs() < 60_000, "{asked} says of {node}: {skew_ms} ms");
        }
    }

    fleet.limit_holds(&[0, 1, 2]);
    let runs = || -> f64 {
        let of = |node: &Tidegate| Books::of(&node.client).get("tidegate_job_runs_total{job_name=\"lifecycle\"}");
        fleet.nodes.iter().map(of).sum()
    };
    let before = runs();
    until("the job lifecycle runs", || (runs() > before + 0.5).then_some(()));
    let led = Books::of(&fleet.nodes[0].client).get("tidegate_job_runs_total{job_name=\"lifecycle\"}");
    assert!(led > 0.5, "the node that is ahead did not lead");
    is_remembered();
    senders.flow(30);
    senders.finish();
    fleet.ends("s51_clocks_of_nodes_are_a_day_wrong");
    Ok(())
}
