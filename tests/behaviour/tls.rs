//! TLS: both protocols by ALPN, a certificate that changes while the server runs, and handshakes that never end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::books::Books;
use crate::client::{Answer, Client, parse};
use crate::env::{Env, Test, TestResult, until};
use crate::frames::connect;
use crate::h2::Peer;
use crate::postgres::SUPERUSER;
use crate::process::Tidegate;
use crate::recovery::{jobs_are_over, waits_for_a_lock};
use crate::samples::event;
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres:
    http_1_over_tls,
    http_2_over_tls_by_alpn,
    a_new_certificate_is_served_without_a_restart,
    stalled_handshakes_end_and_delay_nobody,
    plain_http_on_a_tls_port_is_refused,
    a_reader_that_hangs_up_over_tls_frees_its_connection,
    idle_tls_connections_do_not_delay_the_end,
    wrong_certificates_are_refused_at_start,
);

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Certificate and key in the test's folder.
struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    /// A new self-signed pair.
    fn new(folder: &Path) -> Self {
        let files = Self { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        files.renew();
        files
    }

    /// Another pair in their place.
    fn renew(&self) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&self.cert, cert.pem()).unwrap();
        std::fs::write(&self.key, signing_key.serialize_pem()).unwrap();
    }

    fn settings(&self) -> Vec<String> {
        vec![format!("tls.cert={}", self.cert.display()), format!("tls.key={}", self.key.display())]
    }

    fn serve(&self, env: &Env, more: &[&str]) -> Tidegate {
        let mut settings = self.settings();
        settings.extend(more.iter().map(|setting| (*setting).to_owned()));
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        env.serve_with(&settings)
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.cert).unwrap()
    }

    /// A client that trusts this certificate and nothing else.
    fn trust(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = versions.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    fn open(&self, client: &Client) -> Stream {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(self.trust(&[b"http/1.1"]), name).unwrap();
        StreamOwned::new(connection, connect(client))
    }
}

/// One request on a connection that stays open.
fn ask(stream: &mut Stream, request: &str) -> Answer {
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&bytes)));
        bytes.push(byte[0]);
        if let Some(answer) = parse(&bytes, "") {
            return answer;
        }
    }
}

const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn post(client: &Client, body: &str) -> String {
    let (key, length) = (client.key(), body.len());
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn metric(stream: &mut Stream, name: &str) -> f64 {
    Books::read(&ask(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")).get(name)
}

fn http_1_over_tls(env: &Env) -> TestResult {
    let files = Files::new(env.path());
    let tidegate = files.serve(env, &[]);
    assert!(tidegate.welcome.starts_with("Tidegate is ready at https://"), "{}", tidegate.welcome);
    assert!(tidegate.welcome.contains("curl -sS https://"), "{}", tidegate.welcome);
    let mut stream = files.open(&tidegate.client);
    for n in 0..3 {
        ask(&mut stream, &post(&tidegate.client, &event(n))).accepted(1, 0);
    }
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    // A body of many TLS records.
    let large = format!("[{}]", (0..20_000).map(event).collect::<Vec<_>>().join(","));
    ask(&mut stream, &post(&tidegate.client, &large)).accepted(20_000, 0);
    assert_eq!(env.sql().count("events"), 20_003);
    ask(&mut stream, "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n")
        .problem(400, "ambiguous_framing");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    assert_eq!(rest, b"", "closed in order, with the end of TLS");
    // That of a pair without a term of its own, in the year 4096.
    let scrape = ask(&mut files.open(&tidegate.client), "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let expiry =
        scrape.text().lines().find_map(|line| line.strip_prefix("tidegate_tls_certificate_expiry_timestamp_seconds "));
    assert_eq!(expiry, Some("67090118400"), "{}", scrape.text());
    Ok(())
}

fn http_2_over_tls_by_alpn(env: &Env) -> TestResult {
    let files = Files::new(env.path());
    let tidegate = files.serve(env, &[]);
    let mut peer = Peer::over_tls(&tidegate.client, files.trust(&[b"h2", b"http/1.1"]));
    peer.post(&event(0)).accepted(1, 0);
    let listed = peer.get("/v1/events").expect(200);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    Ok(())
}

fn a_new_certificate_is_served_without_a_restart(env: &Env) -> TestResult {
    let files = Files::new(env.path());
    let tidegate = files.serve(env, &["http.idle_timeout=10m"]);
    let mut before = files.open(&tidegate.client);
    ask(&mut before, HEALTHZ).expect(200);
    let first = files.certificate();

    // A pair that does not go together: the old one is kept, and it is said.
    let key = std::fs::read(&files.key)?;
    files.renew();
    std::fs::write(&files.key, &key)?;
    until("the wrong pair is refused", || {
        (metric(&mut before, "tidegate_tls_reloads_total{result=\"failed\"}") > 0.0).then_some(())
    });
    until("it is said", || tidegate.log().contains("the new certificate cannot be used").then_some(()));
    let old = Files { cert: env.path().join("old.pem"), key: files.key.clone() };
    std::fs::write(&old.cert, pem(&first))?;
    ask(&mut old.open(&tidegate.client), HEALTHZ).expect(200);

    files.renew();
    until("the new certificate is served", || {
        (metric(&mut before, "tidegate_tls_reloads_total{result=\"ok\"}") > 0.0).then_some(())
    });
    // Verified against the new one alone.
    let mut after = files.open(&tidegate.client);
    ask(&mut after, HEALTHZ).expect(200);
    assert_eq!(after.conn.peer_certificates(), Some(&[files.certificate()][..]));
    // The connection that stood all the while is served on, with the certificate that it began with.
    ask(&mut before, HEALTHZ).expect(200);
    assert_eq!(before.conn.peer_certificates(), Some(&[first][..]));
    Ok(())
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn stalled_handshakes_end_and_delay_nobody(env: &Env) -> TestResult {
    let files = Files::new(env.path());
    // Long enough for a handshake on a busy machine.
    let tidegate = files.serve(env, &["http.handshake_timeout=5s"]);
    let stalled: Vec<TcpStream> = (0..40)
        .map(|n| {
            let mut stream = connect(&tidegate.client);
            // Nothing at all, or the beginning of a greeting.
            if n % 2 == 0 {
                stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00").unwrap();
            }
            stream
        })
        .collect();
    ask(&mut files.open(&tidegate.client), HEALTHZ).expect(200);
    for mut stream in &stalled {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        assert_eq!(rest, b"");
    }
    let timeouts = || metric(&mut files.open(&tidegate.client), "tidegate_http_timeouts_total{what=\"handshake\"}");
    until("they are counted", || (timeouts() == 40.0).then_some(()));
    Ok(())
}

fn plain_http_on_a_tls_port_is_refused(env: &Env) -> TestResult {
    let files = Files::new(env.path());
    let tidegate = files.serve(env, &[]);
    let mut plain = connect(&tidegate.client);
    plain.write_all(HEALTHZ.as_bytes())?;
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    let failures = || metric(&mut files.open(&tidegate.client), "tidegate_tls_handshake_failures_total");
    until("it is counted", || (failures() == 1.0).then_some(()));
    Ok(())
}

fn a_reader_that_hangs_up_over_tls_frees_its_connection(env: &Env) -> TestResult {
    let files = Files::new(env.path());
    let tidegate = files.serve(env, &[]);
    ask(&mut files.open(&tidegate.client), &post(&tidegate.client, &event(0))).accepted(1, 0);
    let blocker = env.sql();
    blocker.run("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE");
    let mut reader = files.open(&tidegate.client);
    let request = format!("GET /v1/events HTTP/1.1\r\nauthorization: Bearer {}\r\n\r\n", tidegate.client.key());
    reader.write_all(request.as_bytes())?;
    waits_for_a_lock(env, "reader");
    reader.conn.send_close_notify();
    reader.flush()?;
    drop(reader);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock' AND application_name = 'tidegate reader'";
    let sql = env.sql_as(SUPERUSER);
    until("the query is cancelled", || (sql.one::<i64>(waiting) == 0).then_some(()));
    blocker.run("ROLLBACK");
    Ok(())
}

fn idle_tls_connections_do_not_delay_the_end(env: &Env) -> TestResult {
    let files = Files::new(env.path());
    let mut tidegate = files.serve(env, &["http.idle_timeout=10m", "http.handshake_timeout=10m"]);
    let mut idle = files.open(&tidegate.client);
    ask(&mut idle, HEALTHZ).expect(200);
    let _never_shaken = connect(&tidegate.client);
    assert_eq!(tidegate.stop(), Some(0));
    assert!(!tidegate.log().contains("were cut"), "{}", tidegate.log());
    Ok(())
}

fn wrong_certificates_are_refused_at_start(env: &Env) -> TestResult {
    let files = Files::new(env.path());
    let other = env.path().join("other");
    std::fs::create_dir(&other)?;
    let other = Files::new(&other);
    let nothing = env.path().join("nothing.pem");
    std::fs::write(&nothing, "nothing\n")?;
    let [cert, key, foreign, nothing] = [&files.cert, &files.key, &other.key, &nothing].map(|path| path.display());
    for (settings, what) in [
        (vec![format!("tls.cert={cert}")], "`tls.cert` (flag --set): is set, but `tls.key` is not"),
        (vec![format!("tls.key={key}")], "`tls.key` (flag --set): is set, but `tls.cert` is not"),
        (vec![format!("tls.cert={cert}.no"), format!("tls.key={key}")], "`tls.cert`: "),
        (vec![format!("tls.cert={nothing}"), format!("tls.key={key}")], "holds no certificate"),
        (vec![format!("tls.cert={cert}"), format!("tls.key={nothing}")], "holds no private key"),
        (vec![format!("tls.cert={cert}"), format!("tls.key={foreign}")], "both must be of one pair"),
    ] {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let finished = env.serve_fails(&settings);
        assert!(finished.code == Some(64) && finished.stderr.contains(what), "{what}: {finished:?}");
    }
    jobs_are_over(&env.serve());
    Ok(())
}
