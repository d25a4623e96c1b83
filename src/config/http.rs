//! `listen`, `http.*`, `tls.*`, `cors.*`: where requests come in, how long peers may take, the certificate, and which
//! pages may read answers.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::ConfigError;
use super::value::ConfigReader;

/// How long peers may take for what, and what stands between.
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
    /// Whether a proxy that is trusted speaks TLS with clients, and says who they are.
    pub tls_in_front: bool,
}

/// Where to listen: an address or a name, and a port. A name is looked up when the port is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress(String);

impl FromStr for ListenAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
        };
        if named && port.parse::<u16>().is_ok() { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ListenAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Origins (scheme, host, port) whose pages may read answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CorsOrigins(Vec<String>);

impl CorsOrigins {
    /// Parses `https://a.example, http://localhost:3000`, or `*` for all; empty: none. An error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let origins: Vec<String> =
            text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(str::to_ascii_lowercase).collect();
        let is_origin = |origin: &str| {
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            authority.is_some_and(|authority| {
                !authority.is_empty() && !authority.contains(['/', '?', '#', '@', ' ', '*']) && origin.is_ascii()
            })
        };
        match origins.iter().find(|origin| !is_origin(origin) && *origin != "*") {
            Some(other) => {
                Err(format!("`{other}` is no origin; write scheme, host and port as in https://a.example:8443, or *"))
            }
            None if origins.len() > 1 && origins.contains(&"*".to_owned()) => {
                Err("`*` stands for all origins, and goes with no other".into())
            }
            None => Ok(Self(origins)),
        }
    }

    pub fn are_any(&self) -> bool {
        !self.0.is_empty()
    }

    pub fn are_all(&self) -> bool {
        self.0 == ["*"]
    }

    pub fn have(&self, origin: &str) -> bool {
        self.0.iter().any(|own| own == origin)
    }
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
            tls_in_front: read.one_of("http.tls_in_front", &[("false", false), ("true", true)])?,
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
