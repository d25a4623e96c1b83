//! Whether a connection is a session: prepared statements, settings and locks live in one server process as long as it is open.
//!
//! A pooler in transaction or statement mode gives every transaction another server process, and under little load often the
//! same one, so that asking twice and comparing proves nothing. What is asked for here cannot come about by luck:
//!
//! 1. A setting sent while connecting that only this connection can know. Where the session has it, the server process was
//!    started for this connection, or for one that a pooler made for it alone. Poolers refuse or drop it.
//! 2. Behind a pooler: the session asks the server to end it once it has been idle for a moment. A session is then over. A
//!    pooler that took the server process back loses that one, its client stays connected, and its setting is gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

use crate::config::ConnectionUrl;
use crate::storage::StorageError;
use crate::storage::connect::connect_to;

/// The setting of the first proof: any name with a dot is free.
const MARK: &str = "tidegate.session";
/// The idle time after which the server ends the session of the second proof. A pooler that is held up for longer than that, before
/// it takes the server process back, would lose its client with it, as a session does: so a session has to end twice.
const IDLE: &str = "300ms";
const ENDS: usize = 2;
/// How long the end may take on a busy machine before the setting is looked at.
const END_WAIT: Duration = Duration::from_secs(2);
/// Looks at a connection that goes on. In a session each would have been its end.
const LOOKS: usize = 3;
/// Questions of a look: others may bring the same server process back a few times.
const QUESTIONS: usize = 20;
/// Connections that may break for reasons of their own.
const BREAKS: usize = 4;

/// What a connection turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Nothing between, or something that hands on everything.
    Direct,
    /// A pooler that keeps a server process for each of its clients.
    Session,
    /// A pooler that does not.
    Shared,
    Unknown,
}

impl Pooling {
    /// Whether anything may be asked through it: what was not found out is taken as it is configured.
    pub fn keeps_sessions(self) -> bool {
        self != Self::Shared
    }
}

/// A connection to look through, and what it is.
pub async fn open(url: &ConnectionUrl) -> Result<(Client, Pooling), StorageError> {
    let mark = Uuid::now_v7().to_string();
    let mut marked = url.clone();
    marked.server.options(format!("{} -c {MARK}={mark}", url.server.get_options().unwrap_or_default()).trim());
    // What refuses the mark says so in as many ways as there are poolers; the plain connection has the error to report.
    if let Ok((client, _task)) = connect_to(&marked, Arc::default()).await
        && ask(&client, &format!("SELECT current_setting('{MARK}', true)")).await?.as_deref() == Some(&mark)
    {
        return Ok((client, Pooling::Direct));
    }
    let pooling = behind_pooler(url).await?;
    let (client, _task) = connect_to(url, Arc::default()).await?;
    Ok((client, pooling))
}

/// The second proof, on connections of its own.
async fn behind_pooler(url: &ConnectionUrl) -> Result<Pooling, StorageError> {
    let (mut ended, mut broken) = (0, 0);
    while ended < ENDS {
        let (client, task) = connect_to(url, Arc::default()).await?;
        match ends(&client, task).await {
            Ok(true) => ended += 1,
            Ok(false) => return Ok(Pooling::Shared),
            // It says nothing: the server process at hand may have been ended for another client.
            Err(_broken) if broken < BREAKS => broken += 1,
            Err(_broken) => return Ok(Pooling::Unknown),
        }
    }
    Ok(Pooling::Session)
}

/// Whether a connection ends because what it set ends it.
async fn ends(client: &Client, mut task: JoinHandle<()>) -> Result<bool, StorageError> {
    client.batch_execute(&format!("SET idle_session_timeout = '{IDLE}'")).await?;
    for _ in 0..LOOKS {
        if tokio::time::timeout(END_WAIT, &mut task).await.is_ok() {
            return Ok(true);
        }
        for _ in 0..QUESTIONS {
            let set = ask(client, "SELECT current_setting('idle_session_timeout')").await?;
            if set.as_deref() != Some(IDLE) {
                return Ok(false);
            }
        }
    }
    // Somebody else keeps the server process from being idle.
    Ok(false)
}

/// One value by the simple protocol: a prepared statement may not outlive its first message here.
async fn ask(client: &Client, sql: &str) -> Result<Option<String>, StorageError> {
    let answer = client.simple_query(sql).await?;
    let row = answer.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(row.and_then(|row| row.get(0).map(str::to_owned)))
}
