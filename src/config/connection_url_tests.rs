#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use tokio_postgres::config::LoadBalanceHosts;

use super::*;

fn parsed(text: &str) -> ConnectionUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    text.parse::<ConnectionUrl>().expect_err(text)
}

/// Both forms of the same.
fn forms(parameters: &[(&str, &str)]) -> [String; 2] {
    let pairs =
        |separator: &str| parameters.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(separator);
    [format!("postgres://u:p@h/d?{}", pairs("&")), format!("host=h user=u password=p dbname=d {}", pairs(" "))]
}

#[test]
fn every_mode_in_both_forms() {
    for (word, mode) in [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ] {
        for text in forms(&[("sslmode", word), ("sslrootcert", "/ca.pem"), ("connect_timeout", "3")]) {
            let url = parsed(&text);
            assert_eq!((url.tls.mode, url.tls.root), (mode, RootCert::File("/ca.pem".into())), "{text}");
            assert_eq!((url.server.get_user(), url.server.get_dbname()), (Some("u"), Some("d")), "{text}");
            assert_eq!(url.server.get_password(), Some(&b"p"[..]), "{text}");
            assert!(url.server.get_connect_timeout().is_some(), "{text}");
        }
    }
    assert_eq!(parsed("postgres://h/d").tls.mode, SslMode::Prefer);
    assert_eq!(parsed("host=h sslrootcert=system").tls.mode, SslMode::VerifyFull);
    assert_eq!(parsed("host=h sslmode=").tls.mode, SslMode::Prefer);
}

#[test]
fn what_is_quoted_or_encoded_is_read_as_libpq_reads_it() {
    for text in [
        "postgresql://u:a%3Fb@h/d?sslcert=%2Fmy%20certs%2Fc.pem&sslkey=/k%26.pem&application_name=x",
        "postgres://u:a?b@h/d?application_name=x&sslcert=/my%20certs/c.pem&sslkey=/k%26.pem",
        r"host=h user=u password='a?b' dbname=d sslcert='/my certs/c.pem' sslkey = /k&.pem application_name=x",
        r"sslkey=/k\&.pem application_name = 'x' host=h user=u password=a?b sslcert=/my\ certs/c.pem dbname='d'",
    ] {
        let url = parsed(text);
        assert_eq!(url.tls.identity, Some(("/my certs/c.pem".into(), "/k&.pem".into())), "{text}");
        assert_eq!(url.server.get_password(), Some(&b"a?b"[..]), "{text}");
        assert_eq!((url.server.get_dbname(), url.server.get_application_name()), (Some("d"), Some("x")), "{text}");
    }
}

#[test]
fn what_does_not_go_together_is_refused_and_says_what_is_missing() {
    for (parameters, what) in [
        (&[("sslmode", "verify-full")][..], "sslrootcert"),
        (&[("sslmode", "verify-ca")], "sslrootcert"),
        (&[("sslmode", "require"), ("sslrootcert", "system")], "verify-full"),
        (&[("sslmode", "on")], "verify-full"),
        (&[("sslcert", "/c")], "sslkey"),
        (&[("sslkey", "/k")], "sslcert"),
        (&[("sslpassword", "hunter2")], "passphrase"),
        (&[("sslcrl", "/crl")], "revoked"),
        (&[("gssencmode", "require")], "GSSAPI"),
        (&[("sslnegotiation", "direct")], "sslmode=require"),
        (&[("ssl_min_protocol_version", "SSLv3")], "TLSv1.2"),
        (&[("passfile", "/p")], "file"),
    ] {
        for text in forms(parameters) {
            let why = refused(&text);
            assert!(why.contains(what) && !why.contains("hunter2"), "{text}: {why}");
        }
    }
    for text in ["nonsense", "host=h nonsense", "host=h password='x", "postgres://h/d?unknown=1", "mysql://h/d"] {
        assert!(refused(text).starts_with("must be a PostgreSQL connection"), "{text}");
    }
}

#[test]
fn what_has_no_effect_in_libpq_has_none_here() {
    for text in forms(&[("gssencmode", "disable"), ("sslcompression", "0"), ("sslmode", "require"), ("sslsni", "0")]) {
        let url = parsed(&text);
        assert_eq!((url.tls.mode, url.tls.sni), (SslMode::Require, false), "{text}");
    }
}

#[test]
fn an_address_alone_is_also_the_name() {
    let url = parsed("hostaddr=127.0.0.1 user=u");
    assert_eq!(url.server.get_hosts(), [Host::Tcp("127.0.0.1".into())]);
    assert!(!url.is_local());
    assert!(parsed("host=/run/pg").is_local() && parsed("postgres://%2Frun%2Fpg/d").is_local());
    assert!(!parsed("host=/run/pg,other").is_local());
}

#[test]
fn every_word_for_the_server_that_is_meant() {
    for target in TargetSession::ALL {
        for text in forms(&[("target_session_attrs", target.as_str()), ("load_balance_hosts", "random")]) {
            let url = parsed(&text);
            assert_eq!(url.target, Some(target), "{text}");
            assert_eq!(url.server.get_load_balance_hosts(), LoadBalanceHosts::Random, "{text}");
        }
    }
    for (parameter, value, what) in [
        ("target_session_attrs", "master", "prefer-standby"),
        ("load_balance_hosts", "round-robin", "disable or random"),
    ] {
        for text in forms(&[(parameter, value)]) {
            let why = refused(&text);
            assert!(why.contains(parameter) && why.contains(what), "{text}: {why}");
        }
    }
}

#[test]
fn several_hosts_have_their_ports() {
    let url = parsed("postgres://u@a:1,b:2,c/d?target_session_attrs=&load_balance_hosts=");
    assert_eq!((url.hosts(), url.server.get_ports(), url.target), (3, &[1, 2, 5432][..], None));
    assert_eq!(parsed("host=a,b port=7 hostaddr=10.0.0.1,10.0.0.2").server.get_ports(), [7]);
    for (text, what) in [
        ("host=a,b port=1,2,3", "3 ports"),
        ("host=a,b hostaddr=10.0.0.1", "hostaddr"),
        ("host=a,b,c,d,e,f,g,h,i", "9 hosts"),
    ] {
        let why = refused(text);
        assert!(why.contains(what), "{text}: {why}");
    }
}

#[test]
fn what_is_written_to_is_the_server_that_takes_writes() {
    use TargetSession::{Any, ReadWrite};
    for (text, target) in [
        ("host=a", None),
        ("host=a,b", Some(ReadWrite)),
        ("host=a,b target_session_attrs=any", Some(Any)),
        ("postgres://a,b/d?target_session_attrs=", Some(ReadWrite)),
    ] {
        let url = parsed(text).for_writing();
        assert_eq!(url.target, target, "{text}");
        assert_eq!(url.may_lead_to_a_standby(), target != Some(ReadWrite), "{text}");
    }
}
