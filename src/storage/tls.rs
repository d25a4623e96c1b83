//! TLS towards the database: libpq's modes on top of what tokio-postgres does of them, and what to do when it fails.
//!
//! Files are read for every new connection, so that rotated certificates are taken up by themselves; a handshake is
//! tokio-postgres-rustls', channel binding included.

use std::error::Error as StdError;
use std::sync::LazyLock;

use tokio_postgres::config::SslMode as Asked;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{ConnectionUrl, RootCert, SslMode};
use crate::tls::{ClientOptions, FileError, Reason, Trust, reason};

/// ALPN of a handshake that begins at once (sslnegotiation=direct), which the server demands there.
const ALPN: &[u8] = b"postgresql";

/// Makes the handshakes of one connection, or of one request to cancel: with the files as they are now.
#[derive(Clone)]
pub struct Handshakes(Result<MakeRustlsConnect, FileError>);

pub type Stream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;
pub type Wire = Connection<Socket, Stream>;

/// Where no handshake is ever made.
static NONE: LazyLock<Handshakes> = LazyLock::new(|| Handshakes(made(&ClientOptions::new(Trust::Anyone, false))));

fn made(options: &ClientOptions) -> Result<MakeRustlsConnect, FileError> {
    options.config().map(MakeRustlsConnect::new)
}

impl Handshakes {
    /// Reads what the URL names. A file that cannot be used fails the handshake, and nothing before.
    pub async fn of(url: &ConnectionUrl) -> Self {
        if url.is_local() || url.tls.mode == SslMode::Disable {
            return NONE.clone();
        }
        let options = options(url);
        // A file may be on a disk that hangs, and a system's authorities are many.
        tokio::task::spawn_blocking(move || Self(made(&options))).await.expect("reading a file does not panic")
    }
}

fn options(url: &ConnectionUrl) -> ClientOptions {
    let tls = &url.tls;
    // As in libpq: an authority that is named is asked in every mode.
    let trust = match &tls.root {
        RootCert::Unset => Trust::Anyone,
        RootCert::System => Trust::System,
        RootCert::File(path) => Trust::File(path.clone()),
    };
    let direct = url.server.get_ssl_negotiation() == tokio_postgres::config::SslNegotiation::Direct;
    ClientOptions {
        identity: tls.identity.clone(),
        sni: tls.sni,
        tls13_only: tls.tls13_only,
        alpn: if direct { vec![ALPN.to_vec()] } else { Vec::new() },
        ..ClientOptions::new(trust, tls.mode == SslMode::VerifyFull)
    }
}

impl MakeTlsConnect<Socket> for Handshakes {
    type Stream = Stream;
    type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
    type Error = FileError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Self::TlsConnect, FileError> {
        let maker = self.0.as_mut().map_err(|error| error.clone())?;
        let Ok(connect) = MakeTlsConnect::<Socket>::make_tls_connect(maker, host);
        Ok(connect)
    }
}

/// Connects to the one host of a URL, as the mode says: `allow` begins without TLS and `prefer` with it, and both go the other way when they are
/// refused.
pub async fn connect(url: &ConnectionUrl) -> Result<(tokio_postgres::Client, Wire), tokio_postgres::Error> {
    let handshakes = Handshakes::of(url).await;
    let (first, second) = match url.tls.mode {
        _ if url.is_local() => (Asked::Disable, None),
        SslMode::Disable => (Asked::Disable, None),
        SslMode::Allow => (Asked::Disable, Some(Asked::Require)),
        SslMode::Prefer => (Asked::Prefer, Some(Asked::Disable)),
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => (Asked::Require, None),
    };
    let attempt = async |asked| url.server.clone().ssl_mode(asked).connect(handshakes.clone()).await;
    match (attempt(first).await, second) {
        (Err(error), Some(second)) if depends_on_tls(&error) => attempt(second).await,
        (done, _) => done,
    }
}

/// Whether the other way may do: the handshake failed, or pg_hba.conf has no line for a connection like this.
fn depends_on_tls(error: &tokio_postgres::Error) -> bool {
    match reason(error) {
        Some(Reason::File(_)) => false,
        Some(_) => true,
        None => error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
    }
}

/// What TLS has to say to an error, with what to do.
pub fn explain(error: &(dyn StdError + 'static)) -> Option<String> {
    let Some(reason) = reason(error) else { return untold(error) };
    let advice = match &reason {
        Reason::File(_) => "the connection URL names it",
        Reason::NotTrusted => {
            "sslrootcert in the connection URL must name the certificate of the authority that signed it"
        }
        Reason::Expired => "give the server a new one and reload it; new connections see it at once",
        Reason::NotYetValid => "compare the clocks of both machines",
        Reason::OtherName(_) => {
            "connect by a name that is in it, give the server one with this name, or verify no name (sslmode=verify-ca)"
        }
        Reason::BadCertificate(_) => {
            "it must be of version 3, and no authority's own unless it stands in sslrootcert itself"
        }
        Reason::ClientCertificateDemanded => "name one in sslcert, and its key in sslkey, in the connection URL",
        Reason::ClientCertificateRefused(_) => {
            "sslcert must name one that has not expired, of an authority in the server's ssl_ca_file"
        }
        Reason::NothingInCommon(_) => "the server must speak TLS 1.2 or 1.3 (ssl_min_protocol_version, ssl_ciphers)",
        Reason::NotTls => "check host and port, and that nothing between here and there takes TLS apart",
        Reason::Other(_) => "the server's log may say more",
    };
    Some(format!("{reason}; {advice}"))
}

/// What tokio-postgres says of TLS in words alone: these errors have no code.
fn untold(error: &(dyn StdError + 'static)) -> Option<String> {
    let cause = error.source()?.to_string();
    let advice = match cause.as_str() {
        "server does not support TLS" => {
            "switch it on there (ssl = on), or connect without (sslmode=prefer or disable) where the network is private"
        }
        "server did not use channel binding" => {
            "channel_binding=require needs TLS, and a password that is stored as scram-sha-256"
        }
        _ => return None,
    };
    Some(format!("{cause}; {advice}"))
}

/// What to do when pg_hba.conf refuses a connection, besides what the server says.
pub const NO_HBA_LINE: &str = "pg_hba.conf of the server refuses it: it may demand TLS (sslmode=require or verify-full in \
                               the connection URL), a client certificate (sslcert, sslkey), or another user or address";
