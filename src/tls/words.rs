//! What rustls says of an error, in words: its own text of many is the name of a variant in Rust.

use tokio_rustls::rustls::pki_types::pem;
use tokio_rustls::rustls::{CertificateError, Error, InconsistentKeys};

/// An error of a handshake, or of a certificate and its key.
pub fn of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => "the key is another certificate's".into(),
        Error::InconsistentKeys(_) => "whether certificate and key are one pair cannot be told".into(),
        Error::NoCertificatesPresented => "the other side shows no certificate".into(),
        Error::General(why) => why.clone(),
        Error::Other(why) => spelled_out(&why.0),
        Error::AlertReceived(alert) => format!("the other side says: {}", spelled_out(alert)),
        Error::PeerIncompatible(why) => spelled_out(why),
        Error::PeerMisbehaved(why) => format!("the other side does not keep to TLS: {}", spelled_out(why)),
        Error::InvalidMessage(why) => format!("a message is not one of TLS: {}", spelled_out(why)),
        Error::InappropriateMessage { got_type, .. } => {
            format!("a message comes where it does not belong: {}", spelled_out(got_type))
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            format!("a message comes where it does not belong: {}", spelled_out(got_type))
        }
        other => spelled_out(other),
    }
}

/// Why a certificate is not taken.
pub fn of_certificate(why: &CertificateError) -> String {
    let fixed = match why {
        CertificateError::BadEncoding => "it is damaged",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::Revoked => "it has been revoked",
        CertificateError::UnhandledCriticalExtension => "it has a critical extension that is not known here",
        CertificateError::UnknownIssuer => "no authority that is trusted has signed it",
        CertificateError::UnknownRevocationStatus => "whether it has been revoked is not known",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the list of revoked certificates is too old"
        }
        CertificateError::BadSignature => "its signature is not its authority's",
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed by an algorithm that is not taken here"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => "it is for another name",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it was not made for this purpose (extended key usage)"
        }
        CertificateError::InvalidOcspResponse => {
            "the statement of its authority that comes with it (OCSP) is not valid"
        }
        CertificateError::ApplicationVerificationFailure => "it is not taken here",
        CertificateError::Other(why) => return spelled_out(&why.0),
        other => return spelled_out(other),
    };
    fixed.to_owned()
}

/// Why a file is not PEM.
pub fn of_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line, or not its own".into(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed".into(),
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is not base64".into(),
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it has no section".into(),
        other => spelled_out(other),
    }
}

/// The name of a variant as words: `NoCipherSuitesInCommon` is "no cipher suites in common". What it holds is left out.
pub fn spelled_out(variant: &impl std::fmt::Debug) -> String {
    let text = format!("{variant:?}");
    let name: Vec<char> = text.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    let mut words = String::new();
    for (at, &c) in name.iter().enumerate() {
        let is_lower = |at: Option<usize>| at.and_then(|at| name.get(at)).is_some_and(char::is_ascii_lowercase);
        let before_lower = is_lower(at.checked_sub(1));
        let begins = c.is_ascii_uppercase() && (before_lower || is_lower(Some(at + 1)));
        if begins && at > 0 {
            words.push(' ');
        }
        // An acronym stays one.
        let in_acronym = c.is_ascii_uppercase() && !is_lower(Some(at + 1)) && name.len() > 1;
        words.push(if in_acronym { c } else { c.to_ascii_lowercase() });
    }
    // One that rustls does not know either.
    match text[name.len()..].strip_prefix("(0x") {
        Some(rest) => format!("{words} 0x{}", rest.trim_end_matches(')')),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::{AlertDescription, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};

    use super::*;

    #[test]
    fn names_of_variants_become_words() {
        for (words, expected) in [
            (spelled_out(&AlertDescription::UnknownCA), "unknown CA"),
            (spelled_out(&AlertDescription::UnknownPSKIdentity), "unknown PSK identity"),
            (spelled_out(&AlertDescription::HandshakeFailure), "handshake failure"),
            (spelled_out(&PeerIncompatible::NoCipherSuitesInCommon), "no cipher suites in common"),
            (spelled_out(&PeerIncompatible::Tls12NotOffered), "tls12 not offered"),
            (spelled_out(&AlertDescription::Unknown(200)), "alert description 0xc8"),
        ] {
            assert_eq!(words, expected);
        }
    }

    #[test]
    #[expect(deprecated, reason = "rustls may still give it")]
    fn nothing_is_said_in_rust() {
        let certificate = [
            CertificateError::BadEncoding,
            CertificateError::Expired,
            CertificateError::NotValidYet,
            CertificateError::Revoked,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::UnknownIssuer,
            CertificateError::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationList,
            CertificateError::BadSignature,
            CertificateError::UnsupportedSignatureAlgorithm,
            CertificateError::NotValidForName,
            CertificateError::InvalidPurpose,
            CertificateError::InvalidOcspResponse,
            CertificateError::ApplicationVerificationFailure,
            CertificateError::Other(OtherError(std::sync::Arc::new(std::fmt::Error))),
        ]
        .map(Error::InvalidCertificate);
        let others = [
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
            Error::InconsistentKeys(InconsistentKeys::Unknown),
            Error::NoCertificatesPresented,
            Error::UnsupportedNameType,
            Error::DecryptError,
            Error::EncryptError,
            Error::General("as it is".into()),
            Error::FailedToGetCurrentTime,
            Error::FailedToGetRandomBytes,
            Error::HandshakeNotComplete,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::BadMaxFragmentSize,
            Error::AlertReceived(AlertDescription::BadRecordMac),
            Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon),
            Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
        ];
        for error in certificate.iter().chain(&others) {
            let words = of(error);
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || " ,:()'".contains(c);
            let without_acronyms = words.replace("TLS", "").replace("OCSP", "");
            assert!(!words.is_empty() && without_acronyms.chars().all(is_plain), "{error:?}: {words}");
        }
    }
}
