//! TLS: a certificate and its key from two PEM files, reloaded when they change.
//!
//! Both files are read every few seconds and compared by content, which works for files that are replaced, rewritten or
//! reached over links. New connections get the new certificate; those that stand keep theirs. A pair that cannot be
//! used leaves the old one in place, and says so.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{ConfigError, TlsConfig};
use crate::tls::{validity_s, words};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);
/// Preferred first; a client that asks for neither gets HTTP/1.1, or HTTP/2 if it begins with its preface.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate that is served at the moment.
pub struct Tls {
    files: TlsConfig,
    current: RwLock<Arc<ServerConfig>>,
    loaded: KeyPair,
}

/// The bytes of both files.
#[derive(Clone, PartialEq, Eq)]
struct KeyPair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    pub fn load(files: &TlsConfig) -> Result<Self, ConfigError> {
        let pair = KeyPair::read(files)?;
        let current = RwLock::new(Arc::new(pair.server_config(files)?));
        pair.tell_expiry();
        for result in ["ok", "failed"] {
            counter!("tidegate_tls_reloads_total", "result" => result).increment(0);
        }
        Ok(Self { files: files.clone(), current, loaded: pair })
    }

    /// For the handshake of a new connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// Reloads the files whenever they change; never returns.
    pub async fn follow(&self) {
        let mut last = self.loaded.clone();
        // Both files are seldom written at once: what is seen twice is meant.
        let mut before = None;
        let mut unreadable = false;
        loop {
            tokio::time::sleep(LOOK).await;
            let files = self.files.clone();
            // A file may be on a disk that hangs.
            let read = tokio::task::spawn_blocking(move || KeyPair::read(&files)).await;
            let pair = match read.unwrap_or_else(|error| Err(ConfigError(error.to_string()))) {
                Ok(pair) => pair,
                Err(error) => {
                    if !std::mem::replace(&mut unreadable, true) {
                        self.keep(&error);
                    }
                    continue;
                }
            };
            unreadable = false;
            let settled = before.as_ref() == Some(&pair);
            if pair == last || !settled {
                before = Some(pair);
                continue;
            }
            match pair.server_config(&self.files) {
                Ok(config) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    pair.tell_expiry();
                    counter!("tidegate_tls_reloads_total", "result" => "ok").increment(1);
                    tracing::info!(cert = %self.files.cert.display(), "a new certificate is served from now on");
                }
                Err(error) => self.keep(&error),
            }
            last = pair;
        }
    }

    fn keep(&self, error: &ConfigError) {
        counter!("tidegate_tls_reloads_total", "result" => "failed").increment(1);
        tracing::error!(%error, "the new certificate cannot be used; the one before is served on");
    }
}

impl KeyPair {
    fn read(files: &TlsConfig) -> Result<Self, ConfigError> {
        let read = |key: &str, path: &Path| {
            std::fs::read(path).map_err(|error| {
                refuse(key, path, &format!("cannot be read: {error}; name a PEM file that this account may read"))
            })
        };
        Ok(Self { cert: read("tls.cert", &files.cert)?, key: read("tls.key", &files.key)? })
    }

    /// Until when the server's own certificate, the first of the chain, is valid.
    #[expect(clippy::cast_precision_loss, reason = "gauges are doubles; exact up to 2^53")]
    fn tell_expiry(&self) {
        let first = CertificateDer::pem_slice_iter(&self.cert).next().and_then(Result::ok);
        if let Some((_, until_s)) = first.and_then(|certificate| validity_s(&certificate)) {
            gauge!("tidegate_tls_certificate_expiry_timestamp_seconds").set(until_s as f64);
        }
    }

    fn server_config(&self, files: &TlsConfig) -> Result<ServerConfig, ConfigError> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&self.cert).collect::<Result<_, _>>().map_err(|error| {
                refuse(
                    "tls.cert",
                    &files.cert,
                    &format!("is not PEM: {}; put the certificate chain there", words::of_pem(&error)),
                )
            })?;
        if chain.is_empty() {
            return Err(refuse(
                "tls.cert",
                &files.cert,
                "holds no certificate; put the chain there as PEM (BEGIN CERTIFICATE), the server's own first",
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| {
            // The parser's own message might repeat what it read.
            refuse("tls.key", &files.key, "holds no private key; put it there as PEM (BEGIN PRIVATE KEY), unencrypted")
        })?;
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3");
        let mut config = versions.with_no_client_auth().with_single_cert(chain, key).map_err(|error| {
            let why =
                format!("does not go with {}: {}; both must be of one pair", files.key.display(), words::of(&error));
            refuse("tls.cert", &files.cert, &why)
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }
}

fn refuse(key: &str, path: &Path, why: &str) -> ConfigError {
    ConfigError(format!("configuration key `{key}`: {} {why}", path.display()))
}
