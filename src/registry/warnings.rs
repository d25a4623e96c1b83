//! What schemas that warn have found: counted in the process, and written down now and then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio_postgres::Client;

use crate::wire::item::Pointers;

const WRITE: &str = include_str!("../../sql/queries/definition_warned.sql");

/// Streams whose warnings are held at most; further ones are only counted in metrics.
const STREAMS_MAX: usize = 10_000;

#[derive(Debug, Clone)]
struct Found {
    events: i64,
    at: Timestamp,
    last: Pointers,
}

type ByVersion = HashMap<(Arc<str>, Box<str>, i32), Found>;

/// Of the whole process, since they were last written down.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<ByVersion>);

/// Of one request: they count once its events are stored.
#[derive(Debug)]
pub struct RequestWarnings {
    tenant_id: Arc<str>,
    found: HashMap<Box<str>, (i64, Pointers)>,
    all: Arc<Warnings>,
}

impl RequestWarnings {
    pub fn new(tenant_id: Arc<str>, all: Arc<Warnings>) -> Self {
        Self { tenant_id, found: HashMap::new(), all }
    }

    pub fn note(&mut self, stream: &str, pointers: Pointers) {
        match self.found.get_mut(stream) {
            Some((events, last)) => {
                *events += 1;
                *last = pointers;
            }
            None => drop(self.found.insert(stream.into(), (1, pointers))),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Its events are stored.
    pub fn count(self) {
        let at = Timestamp::now();
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (stream, (events, last)) in self.found {
            metrics::counter!("tidegate_schema_warnings_total").increment(events.unsigned_abs());
            let key = (Arc::clone(&self.tenant_id), stream, last.version);
            let before = all.get(&key).map(|found| found.events);
            if before.is_some() || all.len() < STREAMS_MAX {
                all.insert(key, Found { events: events + before.unwrap_or(0), at, last });
            }
        }
    }
}

impl Warnings {
    /// Writes them down; what cannot be written is tried again with what comes.
    pub async fn write(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(());
        }
        let written = write(client, &taken).await;
        if written.is_err() {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, found) in taken {
                all.entry(key).and_modify(|newer| newer.events += found.events).or_insert(found);
            }
        }
        written
    }
}

async fn write(client: &Client, found: &ByVersion) -> Result<(), tokio_postgres::Error> {
    // In one order, so that no two nodes wait for each other in a circle.
    let mut found: Vec<_> = found.iter().collect();
    found.sort_unstable_by_key(|(key, _)| *key);
    let tenants: Vec<&str> = found.iter().map(|((tenant_id, ..), _)| &**tenant_id).collect();
    let streams: Vec<&str> = found.iter().map(|((_, stream, _), _)| &**stream).collect();
    let versions: Vec<i32> = found.iter().map(|((.., version), _)| *version).collect();
    let events: Vec<i64> = found.iter().map(|(_, found)| found.events).collect();
    let times: Vec<Timestamp> = found.iter().map(|(_, found)| found.at).collect();
    let fields: Vec<&str> = found.iter().map(|(_, found)| found.last.field.as_str()).collect();
    let rules: Vec<&str> = found.iter().map(|(_, found)| found.last.rule.as_str()).collect();
    client.execute(WRITE, &[&tenants, &streams, &versions, &events, &times, &fields, &rules]).await?;
    Ok(())
}
