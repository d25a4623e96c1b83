//! Hears messages of the database's sessions (LISTEN and NOTIFY), on a connection of its own that is made again when it is
//! lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;

use super::connect::{Role, session_sql};
use super::hosts::with_timeouts;
use super::seen::View;
use super::{StorageError, hosts};
use crate::config::ConnectionUrl;

/// Between two tries to connect.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// How long nothing may be heard before it is asked whether the connection still leads anywhere.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What is heard.
#[derive(Debug)]
pub enum Heard {
    /// From now on messages come; what was said before is not known.
    Began,
    Message(String),
}

#[derive(Clone)]
pub struct Listener {
    url: Arc<ConnectionUrl>,
    view: View,
}

impl Listener {
    pub(super) fn new(owner: &ConnectionUrl, view: View) -> Self {
        Self { url: Arc::new(owner.clone()), view }
    }

    /// Hears a channel for as long as it is not dropped.
    pub async fn hear(&self, channel: &'static str, mut heard: impl FnMut(Heard)) {
        loop {
            if let Err(error) = self.hear_once(channel, &mut heard).await {
                tracing::debug!(channel, %error, "the connection on which messages are heard ended");
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    async fn hear_once(&self, channel: &str, heard: &mut impl FnMut(Heard)) -> Result<(), StorageError> {
        let silent = |_elapsed| StorageError::silence();
        let mut moves = self.view.seen.moves();
        let mut url = with_timeouts(&self.url);
        url.server.keepalives_idle(SILENCE_MAX * 2);
        let (client, mut connection) =
            tokio::time::timeout(4 * ANSWER_TIMEOUT, hosts::connect(&url, &self.view)).await.map_err(silent)??;
        let (sender, mut messages) = mpsc::unbounded_channel();
        // Ends with the client, or with the server.
        tokio::spawn(async move {
            loop {
                match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                    Some(Ok(AsyncMessage::Notification(message))) => {
                        if sender.send(message.payload().to_owned()).is_err() {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
            }
        });
        let begin =
            format!("{} SET application_name = 'tidegate listener'; LISTEN {channel}", session_sql(Role::Owner, ""));
        tokio::time::timeout(ANSWER_TIMEOUT, client.batch_execute(&begin)).await.map_err(silent)??;
        heard(Heard::Began);
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout(SILENCE_MAX, messages.recv()) => next,
                // What is said is said elsewhere now.
                _ = moves.changed() => return Ok(()),
            };
            match next {
                Ok(Some(message)) => heard(Heard::Message(message)),
                Ok(None) => return Ok(()),
                Err(_elapsed) => {
                    tokio::time::timeout(ANSWER_TIMEOUT, client.batch_execute("SELECT 1")).await.map_err(silent)??;
                }
            }
        }
    }
}
