//! Verifies a server as libpq does with OpenSSL: its chain up to an authority, its name, or neither.
//!
//! rustls' own rules for chains and names hold, and three things that OpenSSL takes besides: a certificate that is itself
//! among the trusted ones (a self-signed one that is copied to its clients), a common name where there are no alternative
//! names, and, where nobody is verified, a certificate that rustls would not read. The handshake's signature is verified
//! in every case: channel binding rests on it.

use std::path::PathBuf;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::files::{self, FileError};
use super::{names, words};

/// Whose certificates are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Anyone's: encrypted, but nobody knows to whom.
    Anyone,
    /// Those signed by the authorities of the system.
    System,
    /// Those signed by the authorities of a PEM file.
    File(PathBuf),
}

#[derive(Debug)]
pub(super) struct Verifier {
    /// None: anyone.
    authorities: Option<Authorities>,
    verify_name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Authorities {
    roots: RootCertStore,
    /// The same, as they came.
    certificates: Vec<CertificateDer<'static>>,
}

impl Verifier {
    pub(super) fn new(
        trust: &Trust,
        verify_name: bool,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, FileError> {
        let mut roots = RootCertStore::empty();
        let certificates = match trust {
            Trust::Anyone => return Ok(Self { authorities: None, verify_name, algorithms }),
            Trust::System => {
                let certificates = files::system()?;
                // Stores of systems hold old ones that nobody can read.
                roots.add_parsable_certificates(certificates.iter().cloned());
                certificates
            }
            Trust::File(path) => {
                let certificates = files::certificates(path)?;
                for certificate in &certificates {
                    let added = roots.add(certificate.clone());
                    added.map_err(|error| {
                        FileError::new(path, &format!("holds no usable certificate: {}", words::of(&error)))
                    })?;
                }
                certificates
            }
        };
        Ok(Self { authorities: Some(Authorities { roots, certificates }), verify_name, algorithms })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(Authorities { roots, certificates }) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        if certificates.iter().any(|known| known.as_ref() == certificate.as_ref()) {
            valid_at(certificate, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, self.algorithms.all)?;
        }
        if self.verify_name {
            verify_server_name(&parsed, host).or_else(|error| {
                let host = host.to_str();
                let by_common_name = names::common_names(certificate).iter().any(|name| names::is_of(name, &host));
                if by_common_name { Ok(()) } else { Err(error) }
            })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.authorities.is_none()
            && let Some(key) = names::public_key(certificate)
        {
            let key = SubjectPublicKeyInfoDer::from(key);
            return verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms);
        }
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn valid_at(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (from_s, until_s) = names::validity_s(certificate).ok_or(CertificateError::BadEncoding)?;
    if now.as_secs() < from_s {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > until_s {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}
