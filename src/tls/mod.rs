//! TLS as a client speaks it, to the database and over HTTP: whom it trusts, what it shows of itself, and what a handshake
//! that failed says.
//!
//! Files are read whenever a [`ClientConfig`] is made, so that a caller that makes one for each new connection takes up
//! rotated certificates. What to do about a [`Reason`] is said by those who know where the files were named.

mod files;
mod names;
mod reason;
mod verifier;
pub mod words;

pub use files::FileError;
pub use names::validity_s;
pub use reason::{Reason, reason};
pub use verifier::Trust;

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, SupportedProtocolVersion};

use verifier::Verifier;

/// How a client speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    pub trust: Trust,
    /// Whether the certificate must be of the host that was asked for; nothing is compared where anyone is trusted.
    pub verify_name: bool,
    /// PEM files of the client's own certificate chain and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether the host's name is told to the server before its certificate comes.
    pub sni: bool,
    pub tls13_only: bool,
    /// Protocols by ALPN; none: not spoken of.
    pub alpn: Vec<Vec<u8>>,
}

impl ClientOptions {
    pub fn new(trust: Trust, verify_name: bool) -> Self {
        Self { trust, verify_name, identity: None, sni: true, tls13_only: false, alpn: Vec::new() }
    }

    /// Reads the files.
    pub fn config(&self) -> Result<ClientConfig, FileError> {
        let provider = ring::default_provider();
        let verifier = Verifier::new(&self.trust, self.verify_name, provider.signature_verification_algorithms)?;
        const ALL: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(if self.tls13_only { &ALL[..1] } else { ALL })
            .expect("the provider knows TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                builder.with_client_auth_cert(files::certificates(cert)?, files::private_key(key)?).map_err(
                    |error| FileError::new(cert, &format!("does not go with {}: {}", key.display(), words::of(&error))),
                )?
            }
        };
        config.enable_sni = self.sni;
        config.alpn_protocols.clone_from(&self.alpn);
        Ok(config)
    }
}
