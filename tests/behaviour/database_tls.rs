//! TLS towards the database, against a real server with certificates: every command, every mode, and what is refused.

use std::io::Write;

use serde_json::Value;
use tidegate::storage::embedded::{OWNER, WRITER};

use crate::authority::{Authority, expired, self_signed};
use crate::env::{Env, Test, TestResult, until};
use crate::frames::connect;
use crate::process::{Finished, Tidegate};
use crate::secure::{HOST, STRICT, SecureServer, TLS_ONLY, identity};
use crate::tests;

/// The whole program, with certificates of clients.
pub const EVERYTHING: &[Test] = tests!(everything_over_tls);

pub const TESTS: &[Test] = tests!(postgres:
    each_mode_with_and_without_tls,
    wrong_certificates_of_the_server_are_refused,
    what_openssl_takes_is_taken,
    client_certificates_and_files_that_are_wrong,
    channel_binding,
);

/// `tidegate doctor` on the owner's URL, for what it says of `encryption`, or why there was no connection.
fn doctor(env: &Env, url: &str) -> String {
    let variables = [("TIDEGATE_DATABASE_URL".to_owned(), url.to_owned())];
    let finished = Finished::run(env, &variables, &["doctor", "--json"]);
    let findings: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{url}: {finished:?}"));
    let findings = findings.as_array().unwrap();
    let of = |check: &str| findings.iter().find(|finding| finding["check"] == check);
    let finding = of("encryption").or_else(|| of("database")).unwrap_or_else(|| panic!("{url}: {findings:?}"));
    finding["found"].as_str().unwrap().to_owned()
}

fn migrate(env: &Env, server: &SecureServer, parameters: &str) {
    let variables = server.variables(|_| parameters.to_owned());
    let finished = Finished::run(env, &variables, &["migrate"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

fn everything_over_tls(env: &Env) -> TestResult {
    let authority = Authority::new("the authority");
    let server = SecureServer::start(env, &authority, STRICT);
    let root = authority.save(&env.path().join("ca.crt"));
    let variables = server.variables(|role| {
        let identity = identity(env, &authority.sign(role, &[]), role);
        format!("sslmode=verify-full&sslrootcert={}&channel_binding=require&{identity}", root.display())
    });
    let run = |arguments: &[&str]| {
        let finished = Finished::run(env, &variables, arguments);
        assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
        finished
    };
    run(&["migrate"]);
    run(&["migrate", "--check"]);
    let tidegate = Tidegate::serve(env, &variables, &[]);
    assert!(tidegate.welcome.contains("tidegate readers create"), "the service's logins are not people's");
    let (url, key) = (tidegate.client.url(), tidegate.client.key().to_owned());
    let arguments = ["load", "--url", &url, "--key", &key, "--duration", "1s", "--batch", "100", "--json"];
    let report = run(&arguments).json();
    assert_eq!(report["conservation"]["ok"], true, "{report}");
    assert!(report["committed"].as_u64() > Some(0), "{report}");
    for command in [&["orgs", "list"][..], &["keys", "list"], &["lifecycle", "status"]] {
        run(command);
    }
    let doctor = Finished::run(env, &variables, &["doctor"]);
    let line = doctor.stdout.lines().find(|line| line.starts_with("encryption")).unwrap_or_default();
    assert!(line.contains("owner, writer, reader: TLSv1.3, "), "{doctor:?}");
    assert!(line.contains("authority and host name are verified"), "{doctor:?}");
    let sql = server.sql();
    let open = "SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s USING (pid) \
                WHERE a.application_name LIKE 'tidegate %' AND s.client_dn IS DISTINCT FROM '/CN=' || a.usename";
    assert_eq!(sql.one::<i64>(open), 0, "connections without TLS or with another's certificate");
    assert!(sql.one::<i64>("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tidegate %'") >= 3);
    a_query_is_cancelled(&server, &tidegate)?;
    Ok(())
}

/// A client that hangs up no longer keeps the database busy: the request to cancel goes over TLS as well.
fn a_query_is_cancelled(server: &SecureServer, tidegate: &Tidegate) -> TestResult {
    let (sql, blocker) = (server.sql(), server.sql());
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let mut reader = connect(&tidegate.client);
    let key = tidegate.client.key();
    reader
        .write_all(format!("GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n").as_bytes())?;
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'tidegate reader'";
    until("the read waits for the lock", || (sql.one::<i64>(waiting) == 1).then_some(()));
    drop(reader);
    until("the read is cancelled", || (sql.one::<i64>(waiting) == 0).then_some(()));
    blocker.run("ROLLBACK");
    Ok(())
}

/// What each of libpq's modes comes to, against a server that has TLS and demands it, has it and refuses it, or has none.
fn each_mode_with_and_without_tls(env: &Env) -> TestResult {
    let (authority, stranger) = (Authority::new("the authority"), Authority::new("a stranger"));
    let server = SecureServer::start(env, &authority, TLS_ONLY);
    migrate(env, &server, "sslmode=require");
    let root = authority.save(&env.path().join("ca.crt"));
    let foreign = stranger.save(&env.path().join("foreign.crt"));
    let (root, foreign) = (format!("sslrootcert={}", root.display()), format!("sslrootcert={}", foreign.display()));
    const OPEN: &str = "not encrypted";
    const UNKNOWN: &str = "the server is not verified";
    const CA: &str = "the authority is verified, the host name is not";
    const FULL: &str = "authority and host name are verified";
    const NO_LINE: &str = "pg_hba.conf of the server refuses it";
    const NO_TLS: &str = "server does not support TLS";
    const STRANGER: &str = "not signed by an authority that is trusted";
    let modes = |root: &str| {
        [
            "",
            "sslmode=disable",
            "sslmode=allow",
            "sslmode=prefer",
            "sslmode=require",
            "sslmode=verify-ca",
            "sslmode=verify-full",
        ]
        .map(|mode| format!("{mode}&{root}").trim_matches('&').to_owned())
    };
    let expect = |parameters: &[String], outcomes: &[&str]| {
        assert_eq!(parameters.len(), outcomes.len());
        for (parameters, outcome) in parameters.iter().zip(outcomes) {
            let found = doctor(env, &server.url(OWNER, parameters));
            assert!(found.contains(outcome), "{parameters}: {found}, not {outcome}");
        }
    };
    let (bare, rooted, wrong) = (modes(""), modes(&root), modes(&foreign));
    expect(&bare[..5], &[UNKNOWN, NO_LINE, UNKNOWN, UNKNOWN, UNKNOWN]);
    expect(&rooted, &[CA, NO_LINE, CA, CA, CA, CA, FULL]);
    // prefer falls back, which this server does not take; as does the default.
    expect(&wrong, &[NO_LINE, NO_LINE, STRANGER, NO_LINE, STRANGER, STRANGER, STRANGER]);
    server.set_hba("hostnossl all all 127.0.0.0/8 scram-sha-256");
    expect(&bare[..5], &[OPEN, OPEN, OPEN, OPEN, NO_LINE]);
    expect(&wrong[3..5], &[OPEN, STRANGER]);
    server.set_hba("host all all 127.0.0.0/8 scram-sha-256");
    expect(&bare[..5], &[UNKNOWN, OPEN, OPEN, UNKNOWN, UNKNOWN]);
    expect(&wrong[3..4], &[OPEN]);
    server.set_tls(false);
    expect(&rooted, &[OPEN, OPEN, OPEN, OPEN, NO_TLS, NO_TLS, NO_TLS]);
    Ok(())
}

fn wrong_certificates_of_the_server_are_refused(env: &Env) -> TestResult {
    let (authority, stranger) = (Authority::new("the authority"), Authority::new("a stranger"));
    let server = SecureServer::start(env, &authority, TLS_ONLY);
    let root = authority.save(&env.path().join("ca.crt"));
    let parameters = |mode: &str| format!("sslmode={mode}&sslrootcert={}", root.display());
    let full = |what: &str, words: &[&str]| {
        // Every command says so, and `serve` before it listens.
        let variables = server.variables(|_| parameters("verify-full"));
        for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"], &["orgs", "list"]] {
            let finished = Finished::run(env, &variables, arguments);
            assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{what}: {finished:?}");
            for word in words {
                assert!(finished.stderr.contains(word), "{what}: no {word:?}: {finished:?}");
            }
            assert!(!finished.stderr.contains("secret"), "{finished:?}");
        }
    };
    server.set_certificate(&stranger.sign("the server", &[HOST]));
    full("another authority", &["not signed by an authority that is trusted", "sslrootcert"]);
    server.set_certificate(&authority.sign("the server", &["other.example.org", "*.example.com"]));
    full("another host", &["not for this host name (db.example.org) but for", "other.example.org", "verify-ca"]);
    let found = doctor(env, &server.url(OWNER, &parameters("verify-ca")));
    assert!(found.contains("the host name is not"), "verify-ca compares no names: {found}");
    server.set_certificate(&authority.sign_with("the server", &[HOST], expired));
    full("expired", &["certificate has expired"]);
    server.set_certificate(&authority.sign_with("the server", &[HOST], |params| {
        params.not_before = rcgen::date_time_ymd(2999, 1, 1);
    }));
    full("not yet", &["not valid yet", "clocks"]);
    // Nobody asked for an authority: encrypted all the same, as with libpq.
    assert!(doctor(env, &server.url(OWNER, "sslmode=require")).contains("not verified"));
    Ok(())
}

/// Certificates that rustls by itself would refuse, and libpq with OpenSSL does not.
fn what_openssl_takes_is_taken(env: &Env) -> TestResult {
    let authority = Authority::new("the authority");
    let server = SecureServer::start(env, &authority, TLS_ONLY);
    let look = |root: &str, mode: &str| {
        let root = env.path().join(root);
        doctor(env, &server.url(OWNER, &format!("sslmode={mode}&sslrootcert={}", root.display())))
    };
    // A self-signed one, which is its own authority, given to its clients.
    let own = self_signed("the server", &[HOST]);
    own.save(env.path(), "own");
    server.set_certificate(&own);
    assert!(look("own.crt", "verify-full").contains("host name are verified"), "{}", look("own.crt", "verify-full"));
    self_signed("another", &[HOST]).save(env.path(), "another");
    assert!(look("another.crt", "verify-ca").contains("stands in sslrootcert"), "{}", look("another.crt", "verify-ca"));
    // A name in the subject alone.
    authority.save(&env.path().join("ca.crt"));
    server.set_certificate(&authority.sign(HOST, &[]));
    assert!(look("ca.crt", "verify-full").contains("host name are verified"), "{}", look("ca.crt", "verify-full"));
    server.set_certificate(&authority.sign("other.example.org", &[]));
    assert!(look("ca.crt", "verify-full").contains("no names of hosts"), "{}", look("ca.crt", "verify-full"));
    // Alternative names count alone where there are some.
    server.set_certificate(&authority.sign(HOST, &["other.example.org"]));
    assert!(look("ca.crt", "verify-full").contains("not for this host name"), "{}", look("ca.crt", "verify-full"));
    Ok(())
}

fn client_certificates_and_files_that_are_wrong(env: &Env) -> TestResult {
    let (authority, stranger) = (Authority::new("the authority"), Authority::new("a stranger"));
    let server = SecureServer::start(env, &authority, STRICT);
    let root = authority.save(&env.path().join("ca.crt"));
    let look = |more: &str| {
        let parameters = format!("sslmode=verify-full&sslrootcert={}&{more}", root.display());
        doctor(env, &server.url(OWNER, parameters.trim_end_matches('&')))
    };
    let expect = |more: &str, words: &[&str]| {
        let found = look(more);
        assert!(words.iter().all(|word| found.contains(word)), "{more}: no {words:?}: {found}");
    };
    expect("", &["valid client certificate", "sslcert"]);
    let good = identity(env, &authority.sign(OWNER, &[]), "good");
    expect(&good, &["host name are verified"]);
    expect(&identity(env, &stranger.sign(OWNER, &[]), "foreign"), &["refuses the client certificate", "sslcert"]);
    expect(&identity(env, &authority.sign_with(OWNER, &[], expired), "old"), &["refuses the client certificate"]);
    // Another role's.
    expect(&identity(env, &authority.sign(WRITER, &[]), "other"), &["SQLSTATE 28P01"]);
    let file = |name: &str| env.path().join(name).display().to_string();
    std::fs::write(file("nothing"), "nothing\n")?;
    let key = std::fs::read_to_string(file("good.key"))?;
    std::fs::write(file("locked.key"), key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"))?;
    let with = |cert: &str, key: &str| format!("sslcert={}&sslkey={}", file(cert), file(key));
    expect(&with("good.crt", "nowhere.key"), &["nowhere.key cannot be read"]);
    expect(&with("nothing", "good.key"), &["nothing holds no certificate"]);
    expect(&with("good.crt", "nothing"), &["nothing holds no private key"]);
    expect(&with("good.crt", "locked.key"), &["locked.key is encrypted with a passphrase"]);
    expect(&with("good.crt", "foreign.key"), &["good.crt does not go with", "foreign.key"]);
    // A file that is named and not there is said in every mode, also where libpq would go on without it.
    for mode in ["allow", "prefer", "require", "verify-ca"] {
        let found = doctor(env, &server.url(OWNER, &format!("sslmode={mode}&sslrootcert={}", file("nowhere.crt"))));
        assert!(found.contains("nowhere.crt cannot be read"), "{mode}: {found}");
    }
    // What cannot be meant is told before anything is touched.
    let variables = server.variables(|_| "sslmode=verify-full".into());
    let finished = Finished::run(env, &variables, &["migrate"]);
    assert!(finished.code == Some(64) && finished.stderr.contains("sslrootcert"), "{finished:?}");
    Ok(())
}

fn channel_binding(env: &Env) -> TestResult {
    let authority = Authority::new("the authority");
    let server = SecureServer::start(env, &authority, "host all all 127.0.0.0/8 scram-sha-256");
    for (parameters, outcome) in [
        ("sslmode=require&channel_binding=require", "TLSv1.3"),
        ("sslmode=require&channel_binding=prefer", "TLSv1.3"),
        ("sslmode=require&channel_binding=disable", "TLSv1.3"),
        ("sslmode=disable&channel_binding=prefer", "not encrypted"),
        ("sslmode=disable&channel_binding=require", "server did not use channel binding"),
    ] {
        let found = doctor(env, &server.url(OWNER, parameters));
        assert!(found.contains(outcome), "{parameters}: {found}");
    }
    // A password that goes over in clear binds nothing.
    server.set_hba("hostssl all all 127.0.0.0/8 password");
    let found = doctor(env, &server.url(OWNER, "sslmode=require&channel_binding=require"));
    assert!(found.contains("channel binding") && found.contains("scram-sha-256"), "{found}");
    assert!(doctor(env, &server.url(OWNER, "sslmode=require")).contains("TLSv1.3"));
    Ok(())
}
