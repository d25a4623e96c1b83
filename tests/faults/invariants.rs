//! What is true after every fault, asserted in one place (design: reliability, I1 to I4).
//!
//! - I1: every item answered 2xx is in the database or in the dead letters exactly once, once the spool has drained;
//!   any other at most once; a request is there whole or not at all.
//! - I2: resident memory has stayed under the configured bound plus a fixed overhead.
//! - I3: by offset every committed event is read once, in order, and what was logged is logged once.
//! - I4: the books of /metrics balance, and add up with the database and with what the senders were told.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use crate::books::Books;
use crate::env::{Env, until};
use crate::postgres::Sql;
use crate::process::Tidegate;
use crate::told::{Record, Reply, SAMPLES, Told, sample_id};

const MIB: u64 = 1 << 20;

/// What is left of a test when its faults are over.
pub struct Scene<'a> {
    pub env: &'a Env,
    /// The process that runs now.
    pub tidegate: &'a Tidegate,
    /// The database as it is now.
    pub sql: &'a Sql,
    pub told: &'a Told,
    /// `limits.memory_bytes`, if it is not the default.
    pub memory_bytes: Option<u64>,
}

impl<'a> Scene<'a> {
    pub fn new(env: &'a Env, tidegate: &'a Tidegate, sql: &'a Sql, told: &'a Told) -> Self {
        Self { env, tidegate, sql, told, memory_bytes: None }
    }

    /// Asserts I1, I2 and I4, and prints them under the scenario's name.
    pub fn assert_invariants(&self, name: &str) {
        let missing = self.check(name);
        assert!(missing.is_empty(), "I1: promised and lost: {missing:?}");
    }

    /// The same, but returns the promised requests of which nothing is stored, for a caller that knows where they must be.
    pub fn check(&self, name: &str) -> Vec<Record> {
        let books = self.settled();
        let stored = Stored::read(self.sql);
        let missing = self.assert_stored_once(&stored);
        let resident = self.tidegate.assert_memory(self.memory_bytes);
        self.assert_books(&books, &stored);
        let read = self.assert_read_once();
        let items = |account: &str| books.items(account);
        println!(
            "{}: {name}: I1 I2 I3 I4 hold: {read} events read by offset; received {} + recovered {} = committed {} + dead-lettered {} + deduplicated {} + \
             refused {}; {} requests; at most {} MiB resident",
            self.env.engine.as_str(),
            items("received_total"),
            items("recovered_from_spool_total"),
            items("committed_total"),
            items("dead_lettered_total"),
            items("deduplicated_total"),
            items("refused_total"),
            self.told.records().len(),
            resident / MIB,
        );
        missing
    }

    /// The books, once nothing is under way and the spool has drained.
    pub fn settled(&self) -> Books {
        until("the spool drains and nothing is in flight", || {
            let books = Books::of(&self.tidegate.client);
            books.assert_balanced();
            let waiting = books.items("in_flight") + books.items("spooled");
            (waiting == 0 && books.get("tidegate_spool_records") < 0.5).then_some(books)
        })
    }

    fn assert_stored_once(&self, stored: &Stored) -> Vec<Record> {
        let mut missing = Vec::new();
        let mut known = 0;
        for record in self.told.records() {
            let times: Vec<u64> = record.ids().map(|id| stored.times(id)).collect();
            assert!(times.iter().all(|times| *times <= 1), "I1: stored more than once: {record:?}");
            let there: u64 = times.iter().sum();
            known += there;
            assert!(there == 0 || there == record.items(), "I1: stored in part ({there}): {record:?}");
            if there > 0 {
                let misplaced = record.bad.iter().any(|id| stored.items.contains_key(id));
                assert!(!misplaced, "I1: a bad item among the good: {record:?}");
            } else if record.is_promised() {
                missing.push(record);
            }
        }
        assert_eq!(known, stored.items() + stored.letters(), "I1: items are stored that nobody sent");
        missing
    }

    /// How many events a consumer reads of all streams of the tenant.
    fn assert_read_once(&self) -> usize {
        let sql = self.sql;
        let unlogged = "SELECT count(*) FROM ingest_batches m WHERE kind = 'events' AND NOT EXISTS (SELECT FROM batch_log l \
                        WHERE l.tenant_id = m.tenant_id AND l.batch_id = m.batch_id)";
        until("every batch has its offsets", || (sql.one::<i64>(unlogged) == 0).then_some(()));
        let torn = "SELECT count(*) FROM (SELECT base, lag(base + span) OVER (PARTITION BY tenant_id, stream ORDER BY base) AS ended \
                    FROM batch_log) l WHERE base <> ended";
        assert_eq!(sql.one::<i64>(torn), 0, "I3: a batch does not begin where the one before ends");
        let streams = "SELECT DISTINCT stream FROM batch_log WHERE tenant_id = 'default' AND stream ~ '^[a-z0-9_-]+$'";
        let mut read = 0;
        for stream in sql.column::<String>(streams) {
            let path = format!("/v1/streams/{stream}/events");
            let answer = self.tidegate.client.get_as(&path, &[("accept", "application/x-ndjson")]);
            assert_eq!(answer.status, 200, "I3: {stream}: {}", answer.text());
            let events = answer.text().lines().map(|line| -> Value { serde_json::from_str(line).unwrap() });
            let found: Vec<(i64, String)> = events
                .map(|event| (event["offset"].as_i64().unwrap(), event["id"].as_str().unwrap().to_owned()))
                .collect();
            let stored = "SELECT l.base + e.batch_seq, e.id::text FROM events e \
                          JOIN batch_log l ON l.tenant_id = e.tenant_id AND l.batch_id = e.batch_id \
                          WHERE l.tenant_id = 'default' AND l.stream = $1 ORDER BY 1";
            let stored: Vec<(i64, String)> =
                sql.rows(stored, &[&stream]).iter().map(|row| (row.get(0), row.get(1))).collect();
            assert_eq!(found.len(), stored.len(), "I3: {stream}");
            assert!(found == stored, "I3: {stream} is read otherwise than it is stored");
            read += found.len();
        }
        read
    }

    fn assert_books(&self, books: &Books, stored: &Stored) {
        let here = &self.tidegate.client.address;
        let records = self.told.records();
        let attempts = |wanted: &dyn Fn(Reply) -> bool| -> u64 {
            let count = |record: &Record| {
                record.attempts.iter().filter(|at| at.address == *here && wanted(at.reply)).count() as u64
            };
            records.iter().map(|record| count(record) * record.items()).sum()
        };
        // Every promise was received; of what was refused or lost nobody knows how far it came.
        let received = books.items("received_total");
        let (least, most) = (attempts(&Reply::is_promise), attempts(&|_| true));
        assert!((least..=most).contains(&received), "I4: received {received}, senders say {least} to {most}");
        let most = attempts(&|reply| !reply.is_promise());
        let refused = books.items("refused_total");
        assert!(refused <= most, "I4: refused {refused}, senders know of {most}");
        let least = attempts(&|reply| matches!(reply, Reply::Answered { status: 200, duplicate: true, .. }));
        let deduplicated = books.items("deduplicated_total");
        assert!(deduplicated >= least, "I4: deduplicated {deduplicated}, senders were told of {least}");
        let (committed, letters) = (books.items("committed_total"), books.items("dead_lettered_total"));
        let least = |pick: fn(Reply) -> u64| -> u64 {
            let replies = records.iter().flat_map(|record| &record.attempts).filter(|at| at.address == *here);
            replies.map(|attempt| pick(attempt.reply)).sum()
        };
        let accepted = least(|reply| match reply {
            Reply::Answered { status: 200, accepted, duplicate: false, .. } => accepted,
            _ => 0,
        });
        let rejected = least(|reply| match reply {
            Reply::Answered { status: 200, rejected, duplicate: false, .. } => rejected,
            _ => 0,
        });
        assert!(
            committed >= accepted && letters >= rejected,
            "I4: {committed}, {letters}; told {accepted}, {rejected}"
        );
        // A process that was there all along has written everything that is there.
        let alone = self.told.addresses().iter().all(|address| address == here);
        let (in_events, in_letters) = (stored.items(), stored.letters());
        if alone {
            assert_eq!((committed, letters), (in_events, in_letters), "I4: the books and the database");
        } else {
            assert!(committed <= in_events && letters <= in_letters, "I4: {committed} of {in_events}, {letters}");
        }
    }
}

/// What the database has, by id.
struct Stored {
    /// Events and samples.
    items: HashMap<Uuid, u64>,
    letters: HashMap<Uuid, u64>,
}

impl Stored {
    fn read(sql: &Sql) -> Self {
        let (mut items, mut letters) = (HashMap::new(), HashMap::new());
        for row in sql.rows("SELECT id, count(*) FROM events GROUP BY id", &[]) {
            items.insert(row.get(0), row.get::<_, i64>(1).unsigned_abs());
        }
        let samples =
            format!("SELECT value_sum::bigint, count(*) FROM metrics WHERE metric_name = '{SAMPLES}' GROUP BY 1");
        for row in sql.rows(&samples, &[]) {
            items.insert(sample_id(row.get::<_, i64>(0).unsigned_abs()), row.get::<_, i64>(1).unsigned_abs());
        }
        // An event that a group has parked is stored as well.
        let raws = "SELECT raw FROM dead_letter_events WHERE stage <> 'consume'";
        for raw in sql.column::<Vec<u8>>(raws) {
            let item: serde_json::Value = serde_json::from_slice(&raw).expect("an item that a test sent");
            let id =
                item["id"].as_str().and_then(|id| id.parse().ok()).or_else(|| item["value"].as_u64().map(sample_id));
            *letters.entry(id.expect("an item that can be told")).or_default() += 1;
        }
        Self { items, letters }
    }

    fn times(&self, id: &Uuid) -> u64 {
        self.items.get(id).copied().unwrap_or(0) + self.letters.get(id).copied().unwrap_or(0)
    }

    fn items(&self) -> u64 {
        self.items.values().sum()
    }

    fn letters(&self) -> u64 {
        self.letters.values().sum()
    }
}
