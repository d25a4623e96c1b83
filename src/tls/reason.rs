//! Why a connection over TLS failed, out of whatever error carries it.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

use super::files::FileError;
use super::words;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A file of ours cannot be used; the text says which and what to do.
    File(String),
    NotTrusted,
    Expired,
    NotYetValid,
    /// The certificate is for other names: these, if it tells.
    OtherName(String),
    /// The certificate is damaged, or of a kind that is not taken.
    BadCertificate(String),
    /// The server wants to see a certificate of ours.
    ClientCertificateDemanded,
    /// The server does not take ours.
    ClientCertificateRefused(String),
    NothingInCommon(String),
    NotTls,
    Other(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(what) => f.write_str(what),
            Self::NotTrusted => f.write_str("the server's certificate is not signed by an authority that is trusted"),
            Self::Expired => f.write_str("the server's certificate has expired"),
            Self::NotYetValid => f.write_str("the server's certificate is not valid yet"),
            Self::OtherName(names) => write!(f, "the server's certificate is not for this host name{names}"),
            Self::BadCertificate(why) => write!(f, "the server's certificate cannot be used: {why}"),
            Self::ClientCertificateDemanded => f.write_str("the server demands a client certificate"),
            Self::ClientCertificateRefused(why) => write!(f, "the server refuses the client certificate ({why})"),
            Self::NothingInCommon(why) => {
                write!(f, "the server has no TLS version or cipher that this client has: {why}")
            }
            Self::NotTls => f.write_str("the server does not answer in TLS"),
            Self::Other(why) => write!(f, "the TLS handshake failed: {why}"),
        }
    }
}

/// The reason that an error, or one that caused it, has from TLS; None if it is not of TLS.
pub fn reason(error: &(dyn StdError + 'static)) -> Option<Reason> {
    let mut cause = Some(error);
    while let Some(at) = cause {
        if let Some(error) = at.downcast_ref::<FileError>() {
            return Some(Reason::File(error.to_string()));
        }
        // What an io::Error is made of is not its source.
        let within = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let within = within.and_then(|inner| inner.downcast_ref::<Error>());
        if let Some(error) = at.downcast_ref::<Error>().or(within) {
            return Some(of(error));
        }
        cause = at.source();
    }
    None
}

fn of(error: &Error) -> Reason {
    match error {
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::AlertReceived(AlertDescription::CertificateRequired) => Reason::ClientCertificateDemanded,
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(why) => Reason::NothingInCommon(words::spelled_out(why)),
        Error::InvalidMessage(_) => Reason::NotTls,
        other => Reason::Other(words::of(other)),
    }
}

fn of_certificate(why: &CertificateError) -> Reason {
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Reason::NotTrusted,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Reason::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Reason::NotYetValid,
        CertificateError::NotValidForName => Reason::OtherName(String::new()),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            Reason::OtherName(if presented.is_empty() {
                format!(" ({expected}); it has no names of hosts")
            } else {
                format!(
                    " ({expected}) but for {}",
                    presented.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ")
                )
            })
        }
        other => Reason::BadCertificate(words::of_certificate(other)),
    }
}

/// A name out of `DnsName("db.example")`, as rustls has it.
fn plain(name: &str) -> &str {
    let within = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    within.map_or(name, |within| within.trim_matches('"'))
}

fn of_alert(alert: AlertDescription) -> Reason {
    use AlertDescription as Alert;
    match alert {
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::DecryptError => Reason::ClientCertificateRefused(words::spelled_out(&alert)),
        Alert::HandshakeFailure
        | Alert::ProtocolVersion
        | Alert::InsufficientSecurity
        | Alert::NoApplicationProtocol => Reason::NothingInCommon(words::spelled_out(&alert)),
        other => Reason::Other(format!("the server says {}", words::spelled_out(&other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_however_deep_it_is() {
        let tls = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let io = io::Error::new(io::ErrorKind::InvalidData, tls());
        assert_eq!(reason(&io), Some(Reason::NotTrusted));
        assert_eq!(reason(&tls()), Some(Reason::NotTrusted));
        let file = FileError::new(std::path::Path::new("/x.pem"), "cannot be read");
        assert_eq!(
            reason(&io::Error::other(file.clone())),
            None,
            "an io::Error's content is looked into for TLS alone"
        );
        assert_eq!(reason(&file), Some(Reason::File("/x.pem cannot be read".into())));
        assert_eq!(reason(&io::Error::other("away")), None);
    }

    #[test]
    fn a_name_that_is_not_the_hosts_is_told_with_those_of_the_certificate() {
        let error = Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: "db.example".try_into().expect("a name"),
            presented: vec!["DnsName(\"a\")".into(), "IpAddress(10.0.0.1)".into()],
        });
        let text = of(&error).to_string();
        assert!(text.ends_with("(db.example) but for a, 10.0.0.1"), "{text}");
    }
}
