//! What libpq takes from a certificate and rustls does not: validity and key of any version, and the common name where
//! there are no alternative names.

use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// The public key as it stands in the certificate.
pub(super) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    Certificate::from_der(certificate).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
}

/// The seconds since 1970 from and until which it is valid.
pub fn validity_s(certificate: &[u8]) -> Option<(u64, u64)> {
    let validity = Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
    Some((validity.not_before.to_unix_duration().as_secs(), validity.not_after.to_unix_duration().as_secs()))
}

/// The common names of a certificate without alternative names.
pub(super) fn common_names(certificate: &[u8]) -> Vec<String> {
    let Ok(parsed) = Certificate::from_der(certificate) else { return Vec::new() };
    let parsed = parsed.tbs_certificate;
    if parsed.extensions.iter().flatten().any(|extension| extension.extn_id == SUBJECT_ALTERNATIVE_NAME) {
        return Vec::new();
    }
    let attributes = parsed.subject.0.iter().flat_map(|names| names.0.iter());
    attributes
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .filter_map(|attribute| String::from_utf8(attribute.value.value().to_vec()).ok())
        .collect()
}

/// Whether a name of a certificate, perhaps `*.example.org`, is that of a host. As in libpq, the star is one whole label.
pub(super) fn is_of(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let (Some(parent), Some((label, rest))) = (name.strip_prefix("*."), host.split_once('.')) else { return false };
    !label.is_empty() && parent.contains('.') && parent.eq_ignore_ascii_case(rest)
}

#[cfg(test)]
mod tests {
    use super::is_of;

    #[test]
    fn a_star_is_one_label() {
        for (name, host) in [("db", "DB"), ("*.example.org", "db.example.org"), ("db.example.org", "db.Example.org")] {
            assert!(is_of(name, host), "{name} {host}");
        }
        for (name, host) in [
            ("*.example.org", "a.b.example.org"),
            ("*.example.org", "example.org"),
            ("*.org", "example.org"),
            ("*", "db"),
            ("*.example.org", ".example.org"),
            ("db", "db2"),
        ] {
            assert!(!is_of(name, host), "{name} {host}");
        }
    }
}
