//! `http.*` and `tls.*`: how long peers may take, and the certificate.

use std::path::PathBuf;
use std::time::Duration;

use super::ConfigError;
use super::value::ConfigReader;

/// How long peers may take for what.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    pub handshake: Duration,
    /// The head of a request: from connecting, later from its first byte.
    pub head: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// The body of a request, as a whole.
    pub body: Duration,
    /// In each span of this length a body must bring what `body_rate` asks for.
    pub body_stall: Duration,
    /// Bytes a second that a body must bring.
    pub body_rate: usize,
    /// Without the peer taking anything of its answer.
    pub write: Duration,
}

#[derive(Debug, Clone)]
pub struct TlsConfig {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl HttpConfig {
    pub(super) fn read(read: &ConfigReader<'_>) -> Result<Self, ConfigError> {
        let bounded = |key: &str| {
            let span = read.duration(key)?;
            if (Duration::from_millis(50)..=Duration::from_secs(86_400)).contains(&span) {
                return Ok(span);
            }
            Err(ConfigError(format!("{}: must be between 50ms and 1d", read.whereabouts(key))))
        };
        Ok(Self {
            handshake: bounded("http.handshake_timeout")?,
            head: bounded("http.head_timeout")?,
            idle: bounded("http.idle_timeout")?,
            body: bounded("http.body_timeout")?,
            body_stall: bounded("http.body_stall_timeout")?,
            body_rate: read.count("http.body_bytes_per_second", 1, 1 << 30)?,
            write: bounded("http.write_timeout")?,
        })
    }
}

impl TlsConfig {
    /// None when neither is set; one without the other is refused.
    pub(super) fn read(read: &ConfigReader<'_>) -> Result<Option<Self>, ConfigError> {
        let [cert, key] = ["tls.cert", "tls.key"].map(|key| (key, read.text(key)));
        let missing = |(set, _): (&str, String), (unset, _): (&str, String)| {
            let what = format!("is set, but `{unset}` is not; set both, or neither for plain HTTP");
            Err(ConfigError(format!("{}: {what}", read.whereabouts(set))))
        };
        match (cert.1.is_empty(), key.1.is_empty()) {
            (true, true) => Ok(None),
            (false, true) => missing(cert, key),
            (true, false) => missing(key, cert),
            (false, false) => Ok(Some(Self { cert: cert.1.into(), key: key.1.into() })),
        }
    }
}
