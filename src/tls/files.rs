//! Certificates and keys out of PEM files, and the authorities that the system trusts.

use std::fmt;
use std::path::Path;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::words;

/// A file that TLS needs cannot be used: which, why, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError(String);

impl FileError {
    pub fn new(path: &Path, why: &str) -> Self {
        Self(format!("{} {why}", path.display()))
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(|error| {
        FileError::new(path, &format!("cannot be read: {error}; name a PEM file that this account may read"))
    })
}

/// All certificates of a file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<_, _>>()
        .map_err(|error| FileError::new(path, &format!("is not PEM: {}", words::of_pem(&error))))?;
    if certificates.is_empty() {
        return Err(FileError::new(path, "holds no certificate; put it there as PEM (BEGIN CERTIFICATE)"));
    }
    Ok(certificates)
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        // The parser's own message might repeat what it read.
        let encrypted = text.windows(9).any(|word| word == b"ENCRYPTED");
        FileError::new(
            path,
            if encrypted {
                "is encrypted with a passphrase, which is not supported; decrypt it (openssl pkey) and keep it readable \
                 for this account alone"
            } else {
                "holds no private key; put it there as PEM (BEGIN PRIVATE KEY), unencrypted"
            },
        )
    })
}

/// The system's authorities: where OpenSSL has them, or SSL_CERT_FILE and SSL_CERT_DIR.
pub(super) fn system() -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found = rustls_native_certs::load_native_certs();
    if !found.certs.is_empty() {
        return Ok(found.certs);
    }
    let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
    Err(FileError(format!(
        "this system has no certificates of authorities{why}; install its package (ca-certificates), or name a file"
    )))
}
