//! A connection URL of PostgreSQL, in both of libpq's forms, with the parameters of TLS and of the choice among several hosts
//! that tokio-postgres does not know.
//!
//! These are taken out of the text here, and nowhere else; the rest is parsed by tokio-postgres. What a URL holds is never
//! repeated in an error: a password can stand anywhere in it.

use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslNegotiation};

const FORM: &str = "must be a PostgreSQL connection URL, postgres://user:password@host/db";
const TARGETS: &str = "target_session_attrs must be any, read-write, read-only, primary, standby or prefer-standby";
/// Names of one URL: all of them are tried within the time that a connection may take.
const HOSTS_MAX: usize = 8;
const MODES: &str = "sslmode must be disable, allow, prefer, require, verify-ca or verify-full";

/// Where a database is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionUrl {
    pub server: Config,
    pub tls: ServerTls,
    /// Which of its hosts will do; None: not given.
    pub target: Option<TargetSession>,
}

/// `target_session_attrs`: which server of several is meant, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSession {
    Any,
    /// Takes writes: neither a standby, nor read-only by default.
    ReadWrite,
    /// The opposite.
    ReadOnly,
    Primary,
    Standby,
    /// A standby, and where there is none whichever answers.
    PreferStandby,
}

impl TargetSession {
    const ALL: [Self; 6] =
        [Self::Any, Self::ReadWrite, Self::ReadOnly, Self::Primary, Self::Standby, Self::PreferStandby];

    /// libpq's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }
}

/// TLS towards the database, as libpq means it. Unix sockets never use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub mode: SslMode,
    pub root: RootCert,
    /// PEM files of the client's certificate chain and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    pub sni: bool,
    pub tls13_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    /// TLS only where the server refuses to go without.
    Allow,
    /// TLS where the server has it.
    Prefer,
    Require,
    /// The certificate's authority is verified.
    VerifyCa,
    /// Its host name as well.
    VerifyFull,
}

impl SslMode {
    /// libpq's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// `sslrootcert`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCert {
    /// Not given: nobody is verified.
    Unset,
    System,
    File(PathBuf),
}

impl ConnectionUrl {
    /// A server that is reached without TLS, such as the embedded one by its socket.
    pub fn plain(server: Config) -> Self {
        let tls =
            ServerTls { mode: SslMode::Disable, root: RootCert::Unset, identity: None, sni: true, tls13_only: false };
        Self { server, tls, target: None }
    }

    /// How many servers are named.
    pub fn hosts(&self) -> usize {
        self.server.get_hosts().len()
    }

    /// For what is written to: of several hosts the one that takes writes, unless the URL says otherwise.
    pub fn for_writing(mut self) -> Self {
        if self.hosts() > 1 {
            self.target.get_or_insert(TargetSession::ReadWrite);
        }
        self
    }

    /// Whether a server that takes no writes would do.
    pub fn may_lead_to_a_standby(&self) -> bool {
        !matches!(self.target, Some(TargetSession::ReadWrite | TargetSession::Primary))
    }

    /// Whether every host is a Unix socket.
    pub fn is_local(&self) -> bool {
        let hosts = self.server.get_hosts();
        !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_)))
    }
}

impl FromStr for ConnectionUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut given = Given::default();
        let rest = match ["postgres://", "postgresql://"].into_iter().find(|scheme| text.starts_with(scheme)) {
            Some(scheme) => take_from_query(text, scheme.len(), &mut given)?,
            None => take_from_pairs(text, &mut given)?,
        };
        let mut server: Config = rest.parse().map_err(|_| FORM.to_owned())?;
        // Without a name there is only the address that a certificate can be for.
        if server.get_hosts().is_empty() {
            server.get_hostaddrs().to_vec().iter().for_each(|address| {
                server.host(address.to_string());
            });
        }
        check_hosts(&server)?;
        let direct = server.get_ssl_negotiation() == SslNegotiation::Direct;
        let target = given.target;
        Ok(Self { server, tls: given.check(direct)?, target })
    }
}

/// Lists that belong together, as libpq wants them.
fn check_hosts(server: &Config) -> Result<(), String> {
    let (hosts, ports, addresses) = (server.get_hosts().len(), server.get_ports().len(), server.get_hostaddrs().len());
    if hosts > HOSTS_MAX {
        return Err(format!("names {hosts} hosts; {HOSTS_MAX} are tried at most"));
    }
    if ports > 1 && ports != hosts {
        return Err(format!("names {hosts} hosts and {ports} ports: give one port for all of them, or one for each"));
    }
    if addresses > 0 && addresses != hosts {
        return Err(format!("names {hosts} hosts and {addresses} addresses in hostaddr: give one for each"));
    }
    Ok(())
}

/// The parameters that are taken out, as they are given; one that is empty counts as not given, as with libpq.
#[derive(Default)]
struct Given {
    mode: Option<SslMode>,
    root: Option<RootCert>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    no_sni: bool,
    tls13_only: bool,
    target: Option<TargetSession>,
}

impl Given {
    /// Takes a parameter if it is one of ours.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let unsupported = |instead: &str| Err(format!("`{name}` is not supported: {instead}"));
        match (name, value) {
            ("sslpassword", _) => return unsupported("name a key without a passphrase in sslkey"),
            ("sslcrl" | "sslcrldir", _) => return unsupported("revoked certificates are not looked up"),
            ("gssencmode", "require") | ("krbsrvname" | "gsslib" | "gssdelegation", _) => {
                return unsupported("there is no GSSAPI; use a password or a client certificate, and TLS");
            }
            ("passfile" | "service" | "servicefile", _) => {
                return unsupported("put the whole URL into a file instead, and name that (database_url_file)");
            }
            ("ssl_max_protocol_version", "" | "TLSv1.3") | ("sslcertmode", "" | "allow") => {}
            ("ssl_max_protocol_version", _) => return unsupported("TLS 1.2 and 1.3 are spoken"),
            ("sslcertmode", _) => return unsupported("a client certificate is shown where sslcert names one"),
            // Without effect in libpq as well.
            ("gssencmode" | "sslcompression", _) => {}
            ("sslmode", "") => {}
            ("sslmode", mode) => {
                use SslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
                let all = [Disable, Allow, Prefer, Require, VerifyCa, VerifyFull];
                self.mode = Some(all.into_iter().find(|known| known.as_str() == mode).ok_or(MODES)?);
            }
            ("target_session_attrs", "") => self.target = None,
            ("target_session_attrs", word) => {
                let known = TargetSession::ALL.into_iter().find(|known| known.as_str() == word);
                self.target = Some(known.ok_or(TARGETS)?);
            }
            ("load_balance_hosts", "" | "disable" | "random") => return Ok(value.is_empty()),
            ("load_balance_hosts", _) => return Err("load_balance_hosts must be disable or random".into()),
            ("sslrootcert", "") => self.root = None,
            ("sslrootcert", "system") => self.root = Some(RootCert::System),
            ("sslrootcert", path) => self.root = Some(RootCert::File(path.into())),
            ("sslcert", path) => self.cert = (!path.is_empty()).then(|| path.into()),
            ("sslkey", path) => self.key = (!path.is_empty()).then(|| path.into()),
            ("sslsni", "0" | "1" | "") => self.no_sni = value == "0",
            ("sslsni", _) => return Err("sslsni must be 0 or 1".into()),
            ("ssl_min_protocol_version", "" | "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3") => {
                self.tls13_only = value == "TLSv1.3";
            }
            ("ssl_min_protocol_version", _) => return Err("ssl_min_protocol_version must be TLSv1.2 or TLSv1.3".into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(self, direct: bool) -> Result<ServerTls, String> {
        let root = self.root.unwrap_or(RootCert::Unset);
        let default = if root == RootCert::System { SslMode::VerifyFull } else { SslMode::Prefer };
        let mode = self.mode.unwrap_or(default);
        let verifies = matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull);
        if verifies && root == RootCert::Unset {
            return Err(format!(
                "sslmode={} needs sslrootcert: the PEM file of the authority that signs the server's certificate, or \
                 `system` for the authorities of this system",
                mode.as_str()
            ));
        }
        if root == RootCert::System && mode != SslMode::VerifyFull {
            return Err(format!(
                "sslrootcert=system needs sslmode=verify-full, not {}: those authorities sign for anybody",
                mode.as_str()
            ));
        }
        if direct && matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer) {
            return Err("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full".into());
        }
        let identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err("sslcert needs sslkey, the file of its private key".into()),
            (None, Some(_)) => return Err("sslkey needs sslcert, the file of its certificate".into()),
        };
        Ok(ServerTls { mode, root, identity, sni: !self.no_sni, tls13_only: self.tls13_only })
    }
}

/// `postgres://...?name=value&...`; a query begins behind the credentials, which may hold a question mark.
fn take_from_query(text: &str, scheme: usize, given: &mut Given) -> Result<String, String> {
    let credentials = text[scheme..].find('@').map_or(scheme, |at| scheme + at + 1);
    let Some(query) = text[credentials..].find('?').map(|at| credentials + at) else { return Ok(text.to_owned()) };
    let decode = |part: &str| percent_decode_str(part).decode_utf8().map(String::from).map_err(|_| FORM.to_owned());
    let mut left = Vec::new();
    for parameter in text[query + 1..].split('&') {
        if let Some((name, value)) = parameter.split_once('=')
            && given.take(&decode(name)?, &decode(value)?)?
        {
            continue;
        }
        left.push(parameter);
    }
    let separator = if left.is_empty() { "" } else { "?" };
    Ok(format!("{}{separator}{}", &text[..query], left.join("&")))
}

/// `name=value name='a value' ...`, with `\` before what stands for itself.
fn take_from_pairs(text: &str, given: &mut Given) -> Result<String, String> {
    let mut left = String::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some(pair) = Pair::first_of(rest) else {
            // Not of the form; tokio-postgres refuses it as well.
            return Err("must be a PostgreSQL connection string, host=... user=... dbname=...".into());
        };
        if !given.take(pair.name, &pair.value)? {
            left.push_str(&rest[..pair.length]);
            left.push(' ');
        }
        rest = rest[pair.length..].trim_start();
    }
    Ok(left)
}

struct Pair<'a> {
    name: &'a str,
    value: String,
    /// In bytes, as it stands.
    length: usize,
}

impl<'a> Pair<'a> {
    fn first_of(text: &'a str) -> Option<Self> {
        let name = &text[..text.find(|c: char| c == '=' || c.is_whitespace())?];
        let after = text[name.len()..].trim_start().strip_prefix('=')?.trim_start();
        let start = text.len() - after.len();
        let (quoted, body) = after.strip_prefix('\'').map_or((false, after), |body| (true, body));
        let mut value = String::new();
        let mut letters = body.char_indices();
        let end = loop {
            match letters.next() {
                None if quoted => return None,
                None => break body.len(),
                Some((at, '\'')) if quoted => break at + 1,
                Some((at, c)) if !quoted && c.is_whitespace() => break at,
                Some((_, '\\')) => value.extend(letters.next().map(|(_, c)| c)),
                Some((_, c)) => value.push(c),
            }
        };
        Some(Self { name, value, length: start + usize::from(quoted) + end })
    }
}

#[cfg(test)]
#[path = "connection_url_tests.rs"]
mod tests;
