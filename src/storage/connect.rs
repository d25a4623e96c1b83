//! Connections: one pool per role, session settings made once per connection, server warnings heard.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod, Runtime, Timeouts,
};
use tokio::task::JoinHandle;
use tokio_postgres::config::Host;
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config};

use super::hosts::{CONNECT_TIMEOUT, with_timeouts};
use super::seen::View;
use super::tls::Handshakes;
use super::{StorageError, hosts};
use crate::config::{ConnectionUrl, RootCert, SslMode};
use crate::limits::HOST_HEAD_START;

/// How long making a connection may take with all that belongs to it: names, several hosts, the handshake, the password.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(20);

/// The path of work that a pool carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Owner,
    Writer,
    /// Key verification: the writer's rights, but never queued behind batches.
    Verifier,
    /// Consumer groups: the writer's rights, for statements that take milliseconds.
    Consumer,
    Reader,
    /// The reader's rights, for exports, which keep a connection between their fetches.
    Export,
}

impl Role {
    /// Part of `application_name`, so that `pg_stat_activity` tells them apart.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Writer => "writer",
            Self::Verifier => "verifier",
            Self::Consumer => "consumer",
            Self::Reader => "reader",
            Self::Export => "export",
        }
    }

    /// Settings of every session of this role.
    fn settings(self) -> &'static str {
        match self {
            Self::Owner => "",
            // A COPY takes milliseconds; 30 s means that something is stuck and the sender should hear of it. What a node that has
            // stopped without a word had begun keeps others from chunks that it makes, and from its keys.
            Self::Writer => {
                "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '15s'; SET lock_timeout = '10s';"
            }
            // Longer than this a group is held only by a consumer's own transaction (`limits::GROUP_BUSY_AFTER`).
            Self::Consumer => {
                "SET statement_timeout = '10s'; SET idle_in_transaction_session_timeout = '15s'; SET lock_timeout = '500ms';"
            }
            Self::Verifier => "SET statement_timeout = '5s'; SET default_transaction_read_only = on;",
            // One process a read, or a turn among readers would not say what a read takes from others.
            Self::Reader | Self::Export => {
                "SET statement_timeout = '30s'; SET default_transaction_read_only = on; SET max_parallel_workers_per_gather = 0;"
            }
        }
    }
}

/// Warnings that the server sent on a role's connections since start.
#[derive(Debug, Default)]
pub struct Warnings {
    direct_compress_disabled: AtomicU64,
}

impl Warnings {
    /// How often TimescaleDB fell back from direct compress to row inserts; must stay 0.
    pub fn direct_compress_disabled(&self) -> u64 {
        self.direct_compress_disabled.load(Ordering::Relaxed)
    }

    fn heard(&self, warning: &str) {
        // TimescaleDB gives this warning no SQLSTATE of its own (01000), so its text is all there is to go by.
        if warning.contains("disabling direct compress") {
            self.direct_compress_disabled.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("tidegate_direct_compress_disabled_total").increment(1);
            tracing::error!(
                warning,
                "direct compress fell back to row inserts: events has a unique index or a trigger"
            );
        } else {
            tracing::warn!(warning, "the database warns");
        }
    }
}

/// Opens one connection outside any pool; its task logs what the server says.
pub async fn connect(
    url: &ConnectionUrl,
    warnings: Arc<Warnings>,
    view: &View,
) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
    let (client, mut connection) = hosts::connect(url, view).await?;
    let task = tokio::spawn(async move {
        let listen = std::future::poll_fn(|cx| {
            loop {
                match connection.poll_message(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => {
                        if notice.parsed_severity() == Some(Severity::Warning) {
                            warnings.heard(notice.message());
                        }
                    }
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(error))) => {
                        tracing::debug!(%error, "a database connection ended");
                        return Poll::Ready(());
                    }
                }
            }
        });
        listen.await;
    });
    Ok((client, task))
}

/// [`connect`], with an error that says where to.
pub async fn connect_to(
    url: &ConnectionUrl,
    warnings: Arc<Warnings>,
) -> Result<(Client, JoinHandle<()>), StorageError> {
    let url = with_timeouts(url);
    let connected = match tokio::time::timeout(LOGIN_TIMEOUT, connect(&url, warnings, &View::default())).await {
        Ok(connected) => connected.map_err(StorageError::from),
        Err(_elapsed) => Err(StorageError::retryable(format!("no answer within {} s", LOGIN_TIMEOUT.as_secs()))),
    };
    connected.map_err(|error| {
        let advice = "check that the server runs and that the connection URL is right";
        error.doing(&format!("cannot connect to PostgreSQL at {} ({advice})", place(&url.server)))
    })
}

/// One connection of the owner's for a purpose of its own, beside all pools: neither waits for the other. No statement on it takes
/// longer than `timeout`.
pub async fn aside(url: &ConnectionUrl, purpose: &str, timeout: Duration) -> Result<Client, StorageError> {
    let (client, _task) = connect_to(url, Arc::default()).await?;
    let millis = timeout.as_millis();
    let named = format!(
        "SET application_name = 'tidegate {purpose}'; SET statement_timeout = {millis}; SET lock_timeout = {millis};"
    );
    client.batch_execute(&session_sql(Role::Owner, &named)).await?;
    Ok(client)
}

/// Cancels queries of one URL's connections, over TLS where they have it.
#[derive(Clone)]
pub struct Canceller(Arc<ConnectionUrl>);

impl Canceller {
    pub fn new(url: &ConnectionUrl) -> Self {
        Self(Arc::new(url.clone()))
    }

    pub async fn cancel(&self, query: CancelToken) -> Result<(), tokio_postgres::Error> {
        query.cancel_query(Handshakes::of(&self.0).await).await
    }
}

/// Where a connection goes, without its password.
pub fn place(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    let addresses: Vec<String> = config.get_hostaddrs().iter().map(ToString::to_string).collect();
    let named = [
        ("host", Some(hosts.join(","))),
        ("hostaddr", Some(addresses.join(","))),
        ("port", Some(ports.join(","))),
        ("user", config.get_user().map(str::to_owned)),
        ("dbname", config.get_dbname().map(str::to_owned)),
    ];
    let parts = named
        .into_iter()
        .filter_map(|(name, value)| value.filter(|value| !value.is_empty()).map(|value| format!("{name}={value}")));
    parts.collect::<Vec<_>>().join(" ")
}

/// A command line for psql, put together from what was parsed: a password can stand in many places of a URL, and none
/// of them is copied. psql asks for it, or takes it from PGPASSWORD or a password file.
pub fn psql_line(url: &ConnectionUrl) -> String {
    format!("psql \"{}\"", without_password(url))
}

/// A connection string of another role for the same database, as the configuration takes it; without the password, and without
/// the certificate, which is of the one role.
pub fn connection_string(url: &ConnectionUrl, role: &str) -> String {
    let mut url = url.clone();
    url.server.user(role);
    url.tls.identity = None;
    without_password(&url)
}

fn without_password(url: &ConnectionUrl) -> String {
    let mut line = place(&url.server);
    if let Some(target) = url.target {
        line.push_str(&format!(" target_session_attrs={}", target.as_str()));
    }
    let tls = &url.tls;
    if !url.is_local() && tls.mode != SslMode::Prefer {
        line.push_str(&format!(" sslmode={}", tls.mode.as_str()));
    }
    let root = match &tls.root {
        RootCert::Unset => None,
        RootCert::System => Some("system".to_owned()),
        RootCert::File(path) => Some(path.display().to_string()),
    };
    let identity = tls.identity.iter().flat_map(|(cert, key)| [("sslcert", cert), ("sslkey", key)]);
    let files = identity.map(|(name, path)| (name, path.display().to_string()));
    for (name, value) in root.map(|root| ("sslrootcert", root)).into_iter().chain(files) {
        line.push_str(&format!(" {name}={value}"));
    }
    line
}

struct Connector {
    url: ConnectionUrl,
    warnings: Arc<Warnings>,
    view: View,
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl deadpool_postgres::Connect for Connector {
    fn connect(&self, _server: &Config) -> Connecting<'_> {
        Box::pin(connect(&self.url, Arc::clone(&self.warnings), &self.view))
    }
}

/// Nothing depends on what a database or a role was given as defaults: what would end a session or a statement from outside, and
/// what an acknowledgement and the text of a statement mean. A setting that this server does not have is not set. They are asked
/// for by name: pg_settings makes a text of every setting that there is, 2 ms for each connection.
const INDEPENDENT: &str = "\
    SELECT set_config(name, '0', false) FROM unnest(ARRAY['statement_timeout', 'lock_timeout', \
        'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout']) name \
        WHERE current_setting(name, true) <> '0'; \
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; \
    SET standard_conforming_strings = on; SET default_transaction_isolation = 'read committed';";

/// The settings of a session of `role`; a superuser steps down to `tidegate_owner`, so that all objects have one owner. Whether it
/// is one is asked of a setting, for no relation: the first that a session plans a query of costs it 4 ms.
pub fn session_sql(role: Role, extra: &str) -> String {
    format!(
        "SET search_path = tidegate, public; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; \
         SET application_name = 'tidegate {}'; SET client_min_messages = 'warning'; SET tidegate.masks = 'known'; {INDEPENDENT} {} {extra} \
         SELECT set_config('role', 'tidegate_owner', false) \
         WHERE current_setting('is_superuser') = 'on' AND to_regrole('tidegate_owner') IS NOT NULL;",
        role.as_str(),
        role.settings()
    )
}

/// Gives a pool's connection back after an error on it, or away if its session is lost: every later use would fail as well.
pub fn give_back(client: Object, error: &StorageError) {
    if error.loses_session() {
        drop(Object::take(client));
    }
}

/// Work on a pool's connection, which is given back as [`give_back`] does.
pub async fn on_connection<T>(
    pool: &Pool,
    work: impl AsyncFnOnce(&mut Object) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let mut client = pool.get().await?;
    let done = work(&mut client).await;
    if let Err(error) = &done {
        give_back(client, error);
    }
    done
}

/// A pool of at most `size` connections for `role`, opened as they are needed; each is looked at by `guard`, if there is one,
/// before it is used, and not used again where it may lead to a server that `view` has seen left.
pub fn pool(
    url: &ConnectionUrl,
    role: Role,
    size: usize,
    extra: &str,
    (warnings, view): (Arc<Warnings>, View),
    guard: Option<Hook>,
) -> Result<Pool, StorageError> {
    let mut url = with_timeouts(url);
    url.server.keepalives_idle(Duration::from_secs(30));
    let per_host = url.server.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
    // One that hangs holds up the next by a head start, and that one may need its time.
    let create = per_host + HOST_HEAD_START * u32::try_from(url.hosts().saturating_sub(1)).unwrap_or(u32::MAX);
    let known = view.clone();
    let manager = Manager::from_connect(
        url.server.clone(),
        Connector { url, warnings, view },
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    let settings: Arc<str> = session_sql(role, extra).into();
    let mut builder = Pool::builder(manager)
        .max_size(size)
        // The one that was used last has in its caches what is asked next, and its statements are planned: in turns each
        // connection would come to have all of them.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts { wait: Some(CONNECT_TIMEOUT), create: Some(create), recycle: Some(CONNECT_TIMEOUT) })
        .pre_recycle(Hook::sync_fn(move |_, metrics| match known.is_outdated(metrics.created) {
            true => Err(HookError::message("it may lead to a server that was left")),
            false => Ok(()),
        }))
        .post_create(Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let settings = Arc::clone(&settings);
            Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
        }));
    if let Some(guard) = guard {
        builder = builder.post_create(guard);
    }
    builder.build().map_err(|error| StorageError::fatal(format!("building the {} pool: {error}", role.as_str())))
}

#[cfg(test)]
mod tests {
    use super::{Role, psql_line};
    use crate::config::ConnectionUrl;
    use crate::limits::GROUP_BUSY_AFTER;

    #[test]
    fn consumers_wait_for_a_group_as_long_as_is_said() {
        let wait = format!("SET lock_timeout = '{}ms'", GROUP_BUSY_AFTER.as_millis());
        assert!(Role::Consumer.settings().contains(&wait));
    }

    #[test]
    fn no_form_of_a_password_is_shown() {
        for url in [
            "postgres://u:hunter2@h:1/d",
            "postgres://u@h:1/d?password=hunter2",
            "host=h port=1 user=u dbname=d password=hunter2",
            "host=h port=1 user=u dbname=d password = 'hunter2 x'",
        ] {
            assert_eq!(psql_line(&url.parse().expect(url)), "psql \"host=h port=1 user=u dbname=d\"", "{url}");
        }
        let socket = "host=/run/pg user=u dbname=d".parse().expect("valid");
        assert_eq!(psql_line(&socket), "psql \"host=/run/pg user=u dbname=d\"");
    }

    #[test]
    fn psql_is_led_to_the_same_of_several_hosts() {
        for (url, line) in [
            ("postgres://u@a:1,b:2/d", "host=a,b port=1,2 user=u dbname=d target_session_attrs=read-write"),
            (
                "host=a,b port=7 hostaddr=10.0.0.1,10.0.0.2 user=u target_session_attrs=primary",
                "host=a,b hostaddr=10.0.0.1,10.0.0.2 port=7 user=u target_session_attrs=primary",
            ),
        ] {
            let url: ConnectionUrl = url.parse().expect(url);
            assert_eq!(psql_line(&url.for_writing()), format!("psql \"{line}\""));
        }
    }

    #[test]
    fn psql_speaks_tls_as_tidegate_does() {
        let url = "postgres://u@h/d?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem";
        let line = "psql \"host=h port=5432 user=u dbname=d sslmode=verify-full sslrootcert=/ca.pem sslcert=/c.pem sslkey=/k.pem\"";
        assert_eq!(psql_line(&url.parse().expect(url)), line);
    }
}
