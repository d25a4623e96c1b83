//! Senders at work while a fault happens: with keys, sending again until they are answered, and without, sending each
//! event once; and somebody who looks at the books all the while.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::books::Books;
use crate::client::Client;
use crate::env::until;
use crate::told::{Request, Told};
use crate::traffic::Patience;

const SENDERS: usize = 4;
/// Events of a request; every fourth request also has bad items.
const EVENTS: usize = 20;
const BAD: usize = 2;
/// Between attempts while the server is away, so that the senders leave it some processor time.
const PAUSE: Duration = Duration::from_millis(10);

struct Shared {
    told: Arc<Told>,
    client: Mutex<Client>,
    patience: Patience,
    stop: AtomicBool,
    committed: AtomicUsize,
    spooled: AtomicUsize,
    failed: AtomicUsize,
}

/// Senders at work.
pub struct Senders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    pub fn start(told: &Arc<Told>, client: &Client, patience: Patience) -> Self {
        let shared = Arc::new(Shared {
            told: Arc::clone(told),
            client: Mutex::new(client.clone()),
            patience,
            stop: AtomicBool::default(),
            committed: AtomicUsize::default(),
            spooled: AtomicUsize::default(),
            failed: AtomicUsize::default(),
        });
        let mut threads: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let shared = Arc::clone(&shared);
                // The last one sends without keys.
                std::thread::spawn(move || shared.run(sender + 1 < SENDERS))
            })
            .collect();
        let audited = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || audited.audit()));
        Self { shared, threads }
    }

    /// Where the server is now.
    pub fn redirect(&self, client: &Client) {
        *self.shared.client.lock().unwrap() = client.clone();
    }

    /// Waits until so many more requests were answered 200.
    pub fn flow(&self, requests: usize) {
        more("requests are answered 200", &self.shared.committed, requests);
    }

    /// Waits until so many more requests were answered 202.
    pub fn spool(&self, requests: usize) {
        more("requests are answered 202", &self.shared.spooled, requests);
    }

    /// Waits until so many more attempts were refused or lost.
    pub fn fail(&self, attempts: usize) {
        more("attempts are refused", &self.shared.failed, attempts);
    }

    /// Attempts that were refused or lost.
    pub fn failed(&self) -> usize {
        self.shared.failed.load(SeqCst)
    }

    /// Lets every sender finish.
    pub fn finish(self) {
        self.shared.stop.store(true, SeqCst);
        self.threads
            .into_iter()
            .for_each(|thread| thread.join().expect("the senders were told nothing odd, and the books balanced"));
    }
}

fn more(what: &str, counter: &AtomicUsize, by: usize) {
    let goal = counter.load(SeqCst) + by;
    until(what, || (counter.load(SeqCst) >= goal).then_some(()));
}

impl Shared {
    /// The books balance at any moment, also in the middle of a fault (I4).
    fn audit(&self) {
        while !self.stop.load(SeqCst) {
            let client = self.client.lock().unwrap().clone();
            // While the process is gone there are no books.
            if let Ok(answer) = client.send("GET", "/metrics", &[], &[])
                && answer.status == 200
            {
                Books::read(&answer).assert_balanced();
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn run(&self, keyed: bool) {
        for number in 0.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let bad = if number % 4 == 3 { BAD } else { 0 };
            let request = self.told.request(keyed, EVENTS, bad);
            while !self.attempt(&request) {
                if self.patience == Patience::GiveUp {
                    return;
                }
                std::thread::sleep(PAUSE);
                // Sent again without a key, it would be another request: such a sender takes what it was told as final.
                if !keyed {
                    break;
                }
            }
        }
    }

    /// True when the sender may forget the request.
    fn attempt(&self, request: &Request) -> bool {
        let client = self.client.lock().unwrap().clone();
        let answer = self.told.send(&client, request);
        let counter = match answer.as_ref().map(|answer| answer.status) {
            Some(200) => &self.committed,
            Some(202) => &self.spooled,
            Some(409 | 503) | None => &self.failed,
            Some(status) => {
                panic!("{status}: {:?}", answer.map(|answer| String::from_utf8_lossy(&answer.bytes).into_owned()))
            }
        };
        counter.fetch_add(1, SeqCst);
        answer.is_some_and(|answer| matches!(answer.status, 200 | 202))
    }
}
