//! The table of configuration keys: path, default and meaning, in the order in which they are documented.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::storage::StorageProfile;
use crate::model::{Keep, LEVELS};

/// One key: its dotted path, its default (None: unset) and what it means.
#[derive(Debug, Clone)]
pub struct ConfigKey {
    /// Dotted path, as in `tidegate.toml`.
    pub path: &'static str,
    pub default: Option<&'static str>,
    pub help: Cow<'static, str>,
    /// Its value is never shown, and may stand in a file of its own.
    pub secret: bool,
}

impl ConfigKey {
    /// The environment variable of this key.
    pub fn variable(&self) -> String {
        format!("TIDEGATE_{}", self.path.replace('.', "_").to_uppercase())
    }
}

const fn key(path: &'static str, default: Option<&'static str>, help: &'static str) -> ConfigKey {
    ConfigKey { path, default, help: Cow::Borrowed(help), secret: false }
}

const fn secret(path: &'static str, help: &'static str) -> ConfigKey {
    ConfigKey { path, default: None, help: Cow::Borrowed(help), secret: true }
}

/// Every key that this version understands: these, and those of the levels of the rollups.
pub static KEYS: LazyLock<Vec<ConfigKey>> = LazyLock::new(|| FIXED.iter().cloned().chain(of_levels()).collect());

/// `retention.rollups.*`
fn of_levels() -> Vec<ConfigKey> {
    let mut keys: Vec<ConfigKey> = Vec::new();
    for level in &LEVELS {
        let Keep::Configured { key: path, default } = level.keep else { continue };
        match keys.iter_mut().find(|key| key.path == path) {
            Some(key) => key.help = format!("{} and {}", key.help, level.name).into(),
            None => {
                let help = format!("buckets of {}", level.name).into();
                keys.push(ConfigKey { path, default, help, secret: false });
            }
        }
    }
    for key in keys.iter_mut().filter(|key| key.default.is_none()) {
        key.help = format!("{}; unset: forever", key.help).into();
    }
    keys
}

const FIXED: &[ConfigKey] = &[
    secret("database_url", "owner's connection, for migrations and jobs; unset: a private embedded PostgreSQL"),
    secret("writer_url", "connection of the ingest path; unset: the owner's"),
    secret("reader_url", "connection of the query path; unset: the owner's"),
    key("reader_lag_max", None, "a standby that lags more is not read; unset: however far it lags"),
    key("engine", Some("auto"), "auto | timescale | postgres"),
    key("storage_profile", Some("columnstore"), StorageProfile::HELP),
    key("storage_payload", None, "jsonb | json: how a new database keeps payload and metadata; unset: jsonb"),
    key("listen", Some("127.0.0.1:8080"), "address or name, and port, of the HTTP server"),
    key("node.name", None, "name of this node among those of a database, for people; unset: the host's name"),
    key(
        "node.url",
        None,
        "URL by which other nodes reach this one, such as http://10.0.0.5:8080; unset: they cannot ask it for its spooled requests",
    ),
    key("data_dir", Some("./.tidegate"), "folder of the embedded server and of the spool"),
    key("writers", None, "connections that write batches; unset: one a processor beside an embedded server, else 4"),
    key("readers", Some("8"), "connections that answer reads"),
    key("readers_per_tenant", None, "of them, those of one tenant; unset: half"),
    key("read_ahead_bytes", Some("64MiB"), "what was read of streams, kept for the next who come to the same place"),
    key("search_time", Some("2s"), "a page of events is looked for so long; then a cursor goes on"),
    key("batch.rows", Some("1000"), "rows that seal a batch"),
    key("batch.bytes", Some("4MiB"), "encoded bytes that seal a batch"),
    key("batch.linger_ms", Some("5"), "milliseconds that the first request of a batch waits for company"),
    key("limits.body_bytes", Some("16MiB"), "largest body, after decompression"),
    key("limits.memory_bytes", Some("128MiB"), "all request data held at once"),
    key("limits.tenant_memory_bytes", None, "of that, what one tenant's requests may hold; unset: half"),
    key("limits.answers_memory_bytes", None, "of limits.memory_bytes, what answers to reads may hold; unset: half"),
    key("limits.dead_letter_bytes_per_day", Some("1GiB"), "dead letters that one key may cause in a UTC day"),
    key(
        "limits.assets_per_tenant",
        Some("1000000"),
        "assets that are inferred for one tenant; further ones get no row",
    ),
    key(
        "limits.series_per_tenant",
        Some("2000000"),
        "series of metrics of one tenant within retention.metrics; samples of further ones are refused",
    ),
    key(
        "limits.streams_per_tenant",
        Some("10000"),
        "streams of events of one tenant; events of further ones are refused",
    ),
    key("streams.auto_create", Some("true"), "true | false: a stream that is not defined takes events all the same"),
    secret(
        "streams.mask_key",
        "secret of the hashes that masks put in place of values, the same on every node; unset: one in data_dir",
    ),
    key("limits.connections", Some("4096"), "open connections"),
    key("limits.connections_per_address", None, "of them, those of one client address; unset: half"),
    key("http.handshake_timeout", Some("10s"), "for a TLS handshake"),
    key("http.head_timeout", Some("15s"), "for the head of a request"),
    key("http.idle_timeout", Some("60s"), "between two requests of a connection"),
    key("http.body_timeout", Some("30s"), "for the body of a request, as a whole"),
    key("http.body_stall_timeout", Some("5s"), "span over which a body must keep its rate"),
    key("http.body_bytes_per_second", Some("1024"), "rate that a body must keep"),
    key("http.write_timeout", Some("30s"), "for a peer to take its answer"),
    key(
        "http.tls_in_front",
        Some("false"),
        "true | false: all requests come through a proxy that speaks TLS and ends X-Forwarded-For with the client's address",
    ),
    key("tls.cert", None, "PEM file of the certificate chain; unset: plain HTTP"),
    key("tls.key", None, "PEM file of its private key"),
    key("syslog.listen", None, "address or name, and port, of the syslog listener, such as 0.0.0.0:6514; unset: none"),
    key("syslog.udp", Some("false"), "true | false: it takes datagrams at the same port as well"),
    key("syslog.tls", Some("false"), "true | false: its connections speak TLS, with tls.cert and tls.key"),
    secret("syslog.key", "API key, of the scope ingest, with which its messages are sent"),
    key("syslog.stream", None, "stream of its events; unset: default"),
    key("syslog.utc_offset", Some("+00:00"), "offset from UTC of messages that name no time zone"),
    key("cors.origins", None, "origins whose pages may read answers, comma separated, or *; unset: none"),
    key("metrics.open", Some("false"), "true | false: /metrics shows all tenants to loopback, without a key"),
    key("spool.enabled", Some("true"), "true | false: keep requests on disk while the database cannot take them"),
    key("spool.max_bytes", Some("4GiB"), "bytes of the spool on disk; past it requests are answered 503"),
    key("backup.dir", None, "folder of backups; unset: backups in data_dir, which should be another disk"),
    key("backup.every", None, "serve makes a backup this often, such as 1d; unset: none by itself"),
    key("backup.keep", Some("7"), "good backups that are kept; older ones go when another one is complete"),
    key("retention.events", Some("365d"), "events are kept this long; older timestamps are refused"),
    key("retention.metrics", Some("90d"), "raw metrics; rollups have their own retention"),
    key("retention.correlations", Some("90d"), "correlations"),
    key("retention.ledger", Some("72h"), "idempotency keys and receipts"),
    key("retention.dead_letters", Some("30d"), "dead letters"),
    key("retention.audit", Some("400d"), "who did what: administrative acts"),
    key("compress_after.events", Some("7d"), "age from which chunks are compressed (timescale engine)"),
    key("compress_after.metrics", Some("30d"), "the same of metrics"),
    key("rollups.levels", None, "levels of metrics that are kept, such as 5m,1h,1d; 1h and 1d always are; unset: all"),
    key("indexes.payload_gin", None, "true | false: an index of what payloads contain; unset: as the database has it"),
    key("chunk_interval", Some("1d"), "width of a chunk or partition, in whole hours"),
    key(
        "partitions.events",
        None,
        "into how many chunks by tenant a new slice of time is cut (timescale engine); unset: as the database has it",
    ),
    key("partitions.metrics", None, "the same of metrics, by asset"),
    key("log.format", Some("text"), "text | json"),
    key("log.level", Some("info"), "error | warn | info | debug | trace, or a tracing filter"),
];

pub fn find(path: &str) -> Option<&'static ConfigKey> {
    KEYS.iter().find(|key| key.path == path)
}

/// The secret whose file a path such as `database_url_file` names.
pub fn find_file(path: &str) -> Option<&'static ConfigKey> {
    path.strip_suffix("_file").and_then(find).filter(|key| key.secret)
}

/// The known path nearest to a mistyped one, for the error message.
pub fn nearest(path: &str) -> Option<String> {
    let files = KEYS.iter().filter(|key| key.secret).map(|key| format!("{}_file", key.path));
    nearest_of(path, KEYS.iter().map(|key| key.path.to_owned()).chain(files))
}

/// The variable nearest to a mistyped one.
pub fn nearest_variable(name: &str) -> Option<String> {
    let files = KEYS.iter().filter(|key| key.secret).map(|key| format!("{}_FILE", key.variable()));
    nearest_of(name, KEYS.iter().map(ConfigKey::variable).chain(files))
}

fn nearest_of(text: &str, known: impl Iterator<Item = String>) -> Option<String> {
    known
        .map(|name| (edit_distance(text, &name), name))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, name)| name)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
