//! A listener for syslog: TCP, with TLS or without, and UDP where that is asked for. Messages are gathered into
//! requests of the listener's key, as if they had been sent to [`crate::protocols::syslog::ROUTE`], and end where all
//! requests do: in the database, in the spool, or, one by one, in dead letters.
//!
//! Nobody is answered. So over TCP what is refused for now is offered again, and nothing more is read meanwhile: the
//! sender's own queue fills. Over UDP it is dropped, and counted.

mod batch;
mod inlet;
mod tcp;
mod udp;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::SyslogConfig;
use crate::http::Api;
use crate::tenancy::ApiKey;

use inlet::Inlet;

/// Ports that are bound, and not listened to yet.
pub struct Bound {
    config: SyslogConfig,
    tcp: TcpListener,
    udp: Option<UdpSocket>,
}

/// A listener at work.
pub struct Syslog {
    tasks: Vec<JoinHandle<()>>,
}

impl Bound {
    /// Binds what the configuration names; an error says which key is wrong.
    pub async fn bind(config: &SyslogConfig) -> Result<Self, String> {
        // What it is, is not repeated: it may be a key that has lost its end.
        ApiKey::parse(&config.key)
            .map_err(|_| "`syslog.key` is no API key; make one by `tidegate keys create --org ORG --scopes ingest`")?;
        let failed = |what: &str, error: &std::io::Error| {
            format!(
                "cannot listen for syslog on {} ({what}): {error}; set `syslog.listen` to an address that is this \
                 machine's and a port that is free and allowed",
                config.listen
            )
        };
        let tcp = TcpListener::bind(config.listen.as_str()).await.map_err(|error| failed("TCP", &error))?;
        let udp = if config.udp {
            // The port that was found, where any was asked for.
            let address = tcp.local_addr().map_err(|error| failed("TCP", &error))?;
            Some(UdpSocket::bind(address).await.map_err(|error| failed("UDP", &error))?)
        } else {
            None
        };
        Ok(Self { config: config.clone(), tcp, udp })
    }

    /// Takes messages until `stop` turns true; what was gathered until then is still delivered.
    pub fn start(self, api: Arc<Api>, stop: &watch::Receiver<bool>, drain: Duration) -> std::io::Result<Syslog> {
        let address = self.tcp.local_addr()?;
        let tls = self.config.tls;
        let inlet = Arc::new(Inlet::new(api, &self.config));
        let tcp = tcp::serve(self.tcp, Arc::clone(&inlet), tls, stop.clone(), drain);
        let mut tasks = vec![tokio::spawn(tcp)];
        if let Some(socket) = self.udp {
            tasks.push(tokio::spawn(udp::serve(socket, inlet, stop.clone(), drain)));
        }
        tracing::info!(%address, tls, udp = tasks.len() > 1, "listening for syslog");
        Ok(Syslog { tasks })
    }
}

impl Syslog {
    /// Waits until all of it has ended, after `stop`; false: something failed.
    pub async fn ended(self) -> bool {
        let mut in_order = true;
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the syslog listener failed");
                in_order = false;
            }
        }
        in_order
    }
}
