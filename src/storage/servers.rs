//! Looks at the servers that the URLs name, each by itself: which of them takes writes, how far the copies lag, and what
//! that means for connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::connect::connect;
use super::hosts::{at, only, with_timeouts};
use super::seen::{Seen, View};
use super::standing::Standing;
use crate::config::ConnectionUrl;
use crate::limits::{SERVER_LOOK_TIMEOUT, SERVERS_LOOK_EVERY};

/// Positions that are remembered: a copy that lags more than they reach back lags at least so much.
const POSITIONS_MAX: usize = 3600;

/// Servers that reads may go to, as they were found last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Copies {
    pub reachable: usize,
    pub of: usize,
    /// Of those that are reachable, too far behind to be read.
    pub behind: usize,
    /// Of the standby that lags most and is read.
    pub lag: Option<Duration>,
}

/// What is found, for those who ask.
#[derive(Debug, Clone, Default)]
pub struct Servers(Arc<Mutex<Copies>>);

impl Servers {
    pub fn copies(&self) -> Copies {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One server.
struct Server {
    url: ConnectionUrl,
    place: String,
    /// Whether reads may go to it, and whether writes.
    reads: bool,
    writes: bool,
    standing: Option<Standing>,
}

pub struct Watch {
    servers: Vec<Server>,
    seen: Arc<Seen>,
    lag_max: Option<Duration>,
    positions: Positions,
    /// Whether several took writes when they were looked at last.
    split: bool,
    read: BTreeMap<String, State>,
    found: Servers,
}

/// What a server is for reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Away,
    Behind,
    Current,
}

impl Watch {
    /// None: one server carries everything, and there is nothing to tell apart.
    pub fn new(
        owner: &ConnectionUrl,
        reader: &ConnectionUrl,
        (seen, lag_max): (&Arc<Seen>, Option<Duration>),
        found: &Servers,
    ) -> Option<Self> {
        let each = |url: &ConnectionUrl| -> Vec<(String, ConnectionUrl)> {
            (0..url.hosts()).map(|n| (at(&url.server, n), with_timeouts(&only(url, n)))).collect()
        };
        let (owners, readers) = (each(owner), each(reader));
        let server = |(place, url): (String, ConnectionUrl), writes: bool, reads: bool| {
            let mut url = url;
            url.server.application_name("tidegate servers");
            Server { url, place, reads, writes, standing: None }
        };
        let is_read = |place: &str| readers.iter().any(|(read, _)| read == place);
        let mut servers: Vec<Server> = Vec::new();
        for (place, url) in owners {
            let reads = is_read(&place);
            servers.push(server((place, url), true, reads));
        }
        for (place, url) in readers {
            if servers.iter().all(|server| server.place != place) {
                servers.push(server((place, url), false, true));
            }
        }
        let (seen, found) = (Arc::clone(seen), found.clone());
        let (positions, split, read) = Default::default();
        (servers.len() > 1).then_some(Self { servers, seen, lag_max, positions, split, read, found })
    }

    /// For as long as the process runs. One that hangs holds up no look at the others.
    pub async fn run(mut self) {
        let (sender, mut found) = mpsc::channel(self.servers.len());
        let mut looking = JoinSet::new();
        for (n, server) in self.servers.iter().enumerate() {
            let (url, place, sender) = (server.url.clone(), server.place.clone(), sender.clone());
            looking.spawn(async move {
                let mut client = None;
                while sender.send((n, look(&url, &place, &mut client).await)).await.is_ok() {
                    tokio::time::sleep(SERVERS_LOOK_EVERY).await;
                }
            });
        }
        drop(sender);
        let mut unknown: BTreeSet<usize> = (0..self.servers.len()).collect();
        while let Some((n, standing)) = found.recv().await {
            self.servers[n].standing = standing;
            unknown.remove(&n);
            if unknown.is_empty() {
                self.judge(Instant::now());
            }
        }
    }

    fn judge(&mut self, now: Instant) {
        self.judge_primaries(now);
        self.judge_copies(now);
    }

    /// Several that take writes are two databases from now on: those of the older timeline are left.
    fn judge_primaries(&mut self, now: Instant) {
        let of_writes = || self.servers.iter().filter(|server| server.writes);
        let primaries: Vec<(&Server, Standing)> = of_writes()
            .filter_map(|server| server.standing.map(|standing| (server, standing)))
            .filter(|(_, standing)| !standing.standby)
            .collect();
        let known = self.seen.newest();
        for timeline in primaries.iter().filter_map(|(_, standing)| standing.timeline) {
            // Of another cluster is another database, which is not for this one to judge.
            if known.is_some_and(|known| known.is_left_for(timeline)) && self.seen.note(timeline) {
                self.positions = Positions::default();
            }
        }
        let newest = primaries.iter().rfind(|(_, standing)| self.seen.refusal(standing).is_none());
        if let Some((_, standing)) = newest {
            self.positions.note(now, standing.position);
        }
        let split = primaries.len() > 1;
        if split && !self.split {
            let hosts: Vec<String> = primaries
                .iter()
                .map(|(server, standing)| {
                    let timeline = standing.timeline.map_or(0, |timeline| timeline.number);
                    format!("{} (timeline {timeline})", server.place)
                })
                .collect();
            tracing::error!(
                hosts = hosts.join(", "),
                "several servers take writes: what is written to the older one is lost; stop it, or make it a standby"
            );
        }
        for (state, standby) in [("primary", false), ("standby", true)] {
            let is_so = |server: &&Server| server.standing.is_some_and(|standing| standing.standby == standby);
            metrics::gauge!("tidegate_database_servers", "state" => state)
                .set(counted(of_writes().filter(is_so).count()));
        }
        let is_away = |server: &&Server| server.standing.is_none();
        metrics::gauge!("tidegate_database_servers", "state" => "away")
            .set(counted(of_writes().filter(is_away).count()));
        self.split = split;
    }

    fn judge_copies(&mut self, now: Instant) {
        let (mut read, mut copies) = (BTreeMap::new(), Copies::default());
        for server in self.servers.iter().filter(|server| server.reads) {
            copies.of += 1;
            let state = match server.standing {
                None => State::Away,
                Some(standing) if standing.standby => {
                    let lag = self.positions.lag(now, standing.position);
                    match self.lag_max.is_some_and(|max| lag > max) {
                        true => State::Behind,
                        false => {
                            copies.lag = copies.lag.max(Some(lag));
                            State::Current
                        }
                    }
                }
                Some(_) => State::Current,
            };
            copies.reachable += usize::from(state != State::Away);
            copies.behind += usize::from(state == State::Behind);
            read.insert(server.place.clone(), state);
        }
        for (state, word) in [(State::Current, "current"), (State::Behind, "behind"), (State::Away, "away")] {
            metrics::gauge!("tidegate_reader_servers", "state" => word)
                .set(counted(read.values().filter(|found| **found == state).count()));
        }
        metrics::gauge!("tidegate_reader_lag_seconds").set(copies.lag.unwrap_or_default().as_secs_f64());
        // One that went away took its connections with it; one that is back, or is behind, is to be noticed by the others'.
        let before = |place: &String| self.read.get(place).copied();
        let changed = read.iter().any(|(place, state)| *state != State::Away && before(place) != Some(*state));
        if changed && !self.read.is_empty() {
            let behind: BTreeSet<String> =
                read.iter().filter(|(_, state)| **state == State::Behind).map(|(place, _)| place.clone()).collect();
            tracing::info!(behind = behind.len(), of = copies.of, "reads are distributed among the servers again");
            self.seen.distribute(behind);
        } else if self.read.is_empty() {
            let behind = read.iter().filter(|(_, state)| **state == State::Behind).map(|(place, _)| place.clone());
            let behind: BTreeSet<String> = behind.collect();
            if !behind.is_empty() {
                self.seen.distribute(behind);
            }
        }
        self.read = read;
        *self.found.0.lock().unwrap_or_else(PoisonError::into_inner) = copies;
    }
}

fn counted(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Asks a server, on a connection that stays.
async fn look(url: &ConnectionUrl, place: &str, kept: &mut Option<Client>) -> Option<Standing> {
    let looked = tokio::time::timeout(SERVER_LOOK_TIMEOUT, async {
        let client = match kept.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => connect(url, Arc::default(), &View::default()).await?.0,
        };
        let standing = Standing::ask(&client).await?;
        Ok::<_, tokio_postgres::Error>((client, standing))
    });
    match looked.await {
        Ok(Ok((client, standing))) => {
            *kept = Some(client);
            standing
        }
        Ok(Err(error)) => {
            tracing::debug!(host = place, %error, "a server cannot be looked at");
            None
        }
        Err(_elapsed) => None,
    }
}

/// How far the primary had come, and when.
#[derive(Default)]
struct Positions(VecDeque<(Instant, i64)>);

impl Positions {
    fn note(&mut self, now: Instant, position: i64) {
        // What nothing was written after is as new as ever.
        if let Some(newest) = self.0.back_mut().filter(|(_, newest)| *newest == position) {
            newest.0 = now;
            return;
        }
        if self.0.len() == POSITIONS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((now, position));
    }

    /// How long ago the primary was where a copy is: at most so old is what it answers. While the primary is away nothing is
    /// known to be newer than what was seen of it last.
    fn lag(&self, now: Instant, position: i64) -> Duration {
        match self.0.back() {
            Some((_, newest)) if position < *newest => {
                let passed = self.0.iter().rev().find(|(_, at)| *at <= position).or(self.0.front());
                passed.map_or(Duration::ZERO, |(when, _)| now.saturating_duration_since(*when))
            }
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
#[path = "servers_tests.rs"]
mod tests;
