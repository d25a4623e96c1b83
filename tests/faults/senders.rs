//! Senders at work while a fault happens: with keys, sending again until they are answered, and without, sending each
//! request once; and somebody who looks at the books all the while. A mixed crowd has readers and others, too.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::balancer::Balancer;
use crate::books::Books;
use crate::client::Client;
use crate::draw::Draw;
use crate::env::until;
use crate::stop::Stop;
use crate::told::{Request, Told};
use crate::traffic::Patience;

/// Items of a request; every fourth request also has some that break the rules.
const ITEMS: usize = 20;
const BAD: usize = 2;
/// Between attempts while the server is away, so that the senders leave it some processor time.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two looks of the load balancer.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Requests that may be sent once more.
const REMEMBERED: usize = 500;
/// What readers ask for.
const READS: [&str; 6] = [
    "/v1/events?limit=100",
    "/v1/events/counts?from=-1h&bucket=1m&group_by=event_type",
    "/v1/metrics?metric_name=told&from=-1h&resolution=1m",
    "/v1/metrics?metric_name=told&from=-2h&resolution=raw&limit=500",
    "/v1/metrics/catalog",
    "/v1/dead-letters?limit=20",
];

/// What one of them does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Events {
        keyed: bool,
    },
    Samples {
        keyed: bool,
    },
    /// Events and samples by turns, with and without keys, for which it is enough that they are safe on disk.
    Spooled,
    /// Requests that others were promised, once more.
    Again,
    Reader,
}

const PLAIN: [Role; 4] = {
    let keyed = Role::Events { keyed: true };
    [keyed, keyed, keyed, Role::Events { keyed: false }]
};
const MIXED: [Role; 8] = [
    Role::Events { keyed: true },
    Role::Events { keyed: false },
    Role::Samples { keyed: true },
    Role::Samples { keyed: false },
    Role::Spooled,
    Role::Again,
    Role::Reader,
    Role::Reader,
];

struct Shared {
    told: Arc<Told>,
    balancer: Balancer,
    patience: Patience,
    pace: Duration,
    stop: Stop,
    committed: AtomicUsize,
    spooled: AtomicUsize,
    failed: AtomicUsize,
    read: AtomicUsize,
    /// With keys, and promised.
    remembered: Mutex<VecDeque<Request>>,
}

/// Senders at work.
pub struct Senders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    /// Events, as fast as they are taken.
    pub fn start(told: &Arc<Told>, client: &Client, patience: Patience) -> Self {
        Self::of(&PLAIN, told, std::slice::from_ref(client), patience, Duration::ZERO)
    }

    /// Everything that is sent and asked; each waits for `pace` after each request.
    pub fn mixed(told: &Arc<Told>, client: &Client, pace: Duration) -> Self {
        Self::of(&MIXED, told, std::slice::from_ref(client), Patience::Retry, pace)
    }

    /// The same of several nodes, behind a load balancer.
    pub fn balanced(told: &Arc<Told>, clients: &[Client], pace: Duration) -> Self {
        Self::of(&MIXED, told, clients, Patience::Retry, pace)
    }

    fn of(roles: &[Role], told: &Arc<Told>, clients: &[Client], patience: Patience, pace: Duration) -> Self {
        let shared = Arc::new(Shared {
            told: Arc::clone(told),
            balancer: Balancer::of(clients),
            patience,
            pace,
            stop: Stop::default(),
            committed: AtomicUsize::default(),
            spooled: AtomicUsize::default(),
            failed: AtomicUsize::default(),
            read: AtomicUsize::default(),
            remembered: Mutex::default(),
        });
        let mut threads: Vec<_> = roles
            .iter()
            .map(|&role| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.run(role))
            })
            .collect();
        let audited = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || audited.audit()));
        if clients.len() > 1 {
            let watched = Arc::clone(&shared);
            threads.push(std::thread::spawn(move || watched.watch()));
        }
        Self { shared, threads }
    }

    /// Where the server is now.
    pub fn redirect(&self, client: &Client) {
        self.shared.balancer.place(0, client);
    }

    /// Where one of several nodes is now.
    pub fn place(&self, node: usize, client: &Client) {
        self.shared.balancer.place(node, client);
    }

    /// Waits until so many more requests were answered 200.
    pub fn flow(&self, requests: usize) {
        self.more("requests are answered 200", &self.shared.committed, requests, || ());
    }

    /// Waits until so many more requests were answered 202.
    pub fn spool(&self, requests: usize) {
        self.spool_while(requests, || ());
    }

    /// The same, doing something at each look.
    pub fn spool_while(&self, requests: usize, doing: impl Fn()) {
        self.more("requests are answered 202", &self.shared.spooled, requests, doing);
    }

    /// Waits until so many more attempts were refused or lost.
    pub fn fail(&self, attempts: usize) {
        self.more("attempts are refused", &self.shared.failed, attempts, || ());
    }

    /// Attempts that were refused or lost.
    pub fn failed(&self) -> usize {
        self.shared.failed.load(SeqCst)
    }

    /// Reads that were answered with rows.
    pub fn read(&self) -> usize {
        self.shared.read.load(SeqCst)
    }

    /// Lets every sender finish.
    pub fn finish(self) {
        self.shared.stop.tell();
        self.threads
            .into_iter()
            .for_each(|thread| thread.join().expect("the senders were told nothing odd, and the books balanced"));
    }

    fn more(&self, what: &str, counter: &AtomicUsize, by: usize, doing: impl Fn()) {
        let goal = counter.load(SeqCst) + by;
        until(what, || {
            doing();
            // One that was told something odd has ended, and its word is the cause.
            let ended = self.threads.iter().any(JoinHandle::is_finished) && self.shared.patience == Patience::Retry;
            assert!(!ended, "a sender was told something odd, or the books did not balance");
            (counter.load(SeqCst) >= goal).then_some(())
        });
    }
}

impl Shared {
    fn client(&self) -> Client {
        self.balancer.next()
    }

    /// Asks which nodes are ready, as a load balancer does.
    fn watch(&self) {
        while !self.stop.is_told() {
            self.balancer.look();
            self.stop.within(LOOK_EVERY);
        }
    }

    /// The books balance at any moment, also in the middle of a fault (I4).
    fn audit(&self) {
        while !self.stop.is_told() {
            // While the process is gone there are no books.
            if let Ok(answer) = self.client().send("GET", "/metrics", &[], &[])
                && answer.status == 200
            {
                Books::read(&answer).assert_balanced();
            }
            self.stop.within(PAUSE.max(self.pace));
        }
    }

    fn run(&self, role: Role) {
        let mut draw = Draw::new(1);
        for number in 0.. {
            if self.stop.is_told() {
                return;
            }
            let done = match role {
                Role::Reader => self.reads(READS[number % READS.len()]),
                Role::Again => self.again(&mut draw),
                _ => self.deliver(role, number),
            };
            if !done {
                return;
            }
            self.stop.within(self.pace);
        }
    }

    /// Sends a request of its own; false when it gives up.
    fn deliver(&self, role: Role, number: usize) -> bool {
        let bad = if number % 4 == 3 { BAD } else { 0 };
        let keyed = match role {
            Role::Events { keyed } | Role::Samples { keyed } => keyed,
            _ => !number.is_multiple_of(3),
        };
        let samples = matches!(role, Role::Samples { .. }) || role == Role::Spooled && number.is_multiple_of(2);
        let request = if samples { self.told.samples(keyed, ITEMS, bad) } else { self.told.request(keyed, ITEMS, bad) };
        while !self.attempt(&request, role == Role::Spooled) {
            if self.patience == Patience::GiveUp {
                return false;
            }
            // The pace of attempts: another is what tells whether the server is back.
            std::thread::sleep(PAUSE);
            // Sent again without a key, it would be another request: such a sender takes what it was told as final.
            if !keyed {
                return true;
            }
        }
        if keyed {
            let mut remembered = self.remembered.lock().unwrap();
            remembered.truncate(REMEMBERED - 1);
            remembered.push_front(request);
        }
        true
    }

    /// Sends a request once more that somebody was promised already.
    fn again(&self, draw: &mut Draw) -> bool {
        let chosen = {
            let remembered = self.remembered.lock().unwrap();
            remembered.get(draw.below(remembered.len().max(1))).cloned()
        };
        let Some(request) = chosen else { return true };
        let was_committed = self.told.record(&request).is_committed();
        let answer = self.told.send(&self.client(), &request);
        if let Some(answer) = answer.filter(|answer| answer.status == 200 && was_committed) {
            assert_eq!(answer.json()["duplicate"], true, "I1: taken for another one: {}", answer.text());
        }
        true
    }

    /// Reads something; while the database is away it is told so.
    fn reads(&self, path: &str) -> bool {
        let Ok(answer) = self.client().send("GET", path, &[], &[]) else { return true };
        assert!(matches!(answer.status, 200 | 401 | 429 | 503), "GET {path}: {}: {}", answer.status, answer.text());
        if answer.status == 200 {
            answer.json()["data"].as_array().expect("a list");
            self.read.fetch_add(1, SeqCst);
        } else if answer.status != 401 {
            assert!(answer.header("retry-after").parse::<u32>().is_ok(), "GET {path}: {answer:?}");
        }
        true
    }

    /// True when the sender may forget the request.
    fn attempt(&self, request: &Request, spooled: bool) -> bool {
        let client = self.client();
        let answer = if spooled { self.told.spool(&client, request) } else { self.told.send(&client, request) };
        let counter = match answer.as_ref().map(|answer| answer.status) {
            Some(200) => &self.committed,
            // Of those who ask for no more it says nothing about the database.
            Some(202) if spooled => return true,
            Some(202) => &self.spooled,
            // 401 is what the server of another test says, which was given the port of one that was killed.
            Some(401 | 409 | 503) | None => &self.failed,
            Some(status) => {
                panic!("{status}: {:?}", answer.map(|answer| String::from_utf8_lossy(&answer.bytes).into_owned()))
            }
        };
        counter.fetch_add(1, SeqCst);
        answer.is_some_and(|answer| matches!(answer.status, 200 | 202))
    }
}
