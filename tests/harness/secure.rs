//! A PostgreSQL server of a test's own that listens on TCP with TLS, whose certificates and pg_hba.conf the test changes.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;
use tidegate::storage::embedded::{DATABASE, EmbeddedServer, OWNER, READER, Running, WRITER};
use tokio::runtime::Runtime;

use crate::authority::{Authority, Signed};
use crate::env::{Env, until};
use crate::postgres::{SUPERUSER, Sql, temp_dir};
use crate::private::{config, own, variables};

/// The name that its certificate is for; its address goes beside it in URLs.
pub const HOST: &str = "db.example.org";
pub const PASSWORD: &str = "secret";
/// Only over TLS, with a password, from clients with a certificate of their role's name.
pub const STRICT: &str = "hostssl all all 127.0.0.0/8 scram-sha-256 clientcert=verify-full";
pub const TLS_ONLY: &str = "hostssl all all 127.0.0.0/8 scram-sha-256";

pub struct SecureServer {
    runtime: Runtime,
    server: Option<EmbeddedServer>,
    running: Running,
    /// Every server has one of its own on the loopback interface, and all have the same port.
    address: String,
    dir: TempDir,
}

impl SecureServer {
    /// With a certificate of `authority`, which also signs those of clients.
    pub fn start(env: &Env, authority: &Authority, hba: &str) -> Self {
        static NUMBER: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = format!("127.{high}.{low}.{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let dir = temp_dir();
        let settings = [("listen_addresses", address.as_str()), ("shared_buffers", "64MB")];
        let config = config(dir.path(), env.engine, &settings);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(EmbeddedServer::start(config)).unwrap_or_else(|error| panic!("{error}"));
        let running = Running { socket_dir: server.socket_dir().to_owned(), port: server.port() };
        let secure = Self { runtime, server: Some(server), running, address, dir };
        for role in [OWNER, WRITER, READER] {
            secure.sql().run(&format!("ALTER ROLE {role} PASSWORD '{PASSWORD}'"));
        }
        secure.write_hba(hba);
        secure.write_certificate(&authority.sign("the server", &[HOST]));
        secure.write("authority.crt", &authority.pem());
        for (setting, value) in [
            ("ssl_cert_file", secure.file("server.crt").display().to_string()),
            ("ssl_key_file", secure.file("server.key").display().to_string()),
            ("ssl_ca_file", secure.file("authority.crt").display().to_string()),
            ("ssl", "on".to_owned()),
        ] {
            secure.sql().run(&format!("ALTER SYSTEM SET {setting} = '{value}'"));
        }
        secure.reload();
        secure
    }

    /// SQL as the superuser, by the socket.
    pub fn sql(&self) -> Sql {
        Sql::connect(&self.running.url(SUPERUSER, DATABASE))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file that the server reads, and it alone.
    fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        std::fs::write(&path, text).unwrap();
        own(&path, &self.hba_file());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn hba_file(&self) -> PathBuf {
        self.sql().one::<String>("SHOW hba_file").into()
    }

    fn write_hba(&self, lines: &str) {
        std::fs::write(self.hba_file(), format!("local all all trust\n{lines}\n")).unwrap();
    }

    fn write_certificate(&self, signed: &Signed) {
        self.write("server.crt", &signed.cert);
        self.write("server.key", &signed.key);
    }

    /// Takes connections by these lines of pg_hba.conf from now on.
    pub fn set_hba(&self, lines: &str) {
        self.write_hba(lines);
        self.reload();
    }

    /// Shows this certificate from now on.
    pub fn set_certificate(&self, signed: &Signed) {
        self.write_certificate(signed);
        self.reload();
    }

    /// Takes clients' certificates of this authority from now on.
    pub fn set_authority(&self, authority: &Authority) {
        self.write("authority.crt", &authority.pem());
        self.reload();
    }

    pub fn set_tls(&self, on: bool) {
        self.sql().run(&format!("ALTER SYSTEM SET ssl = '{}'", if on { "on" } else { "off" }));
        self.reload();
    }

    /// Returns once new connections see what was changed.
    fn reload(&self) {
        let loaded = "SELECT extract(epoch FROM pg_conf_load_time())::double precision";
        let before: f64 = self.sql().one(loaded);
        self.sql().run("SELECT pg_reload_conf()");
        until("the server has reloaded its configuration", || (self.sql().one::<f64>(loaded) > before).then_some(()));
    }

    /// Ends every connection of Tidegate, which then makes new ones.
    pub fn disconnect(&self) {
        self.sql()
            .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tidegate %'");
    }

    /// A connection URL with more parameters: `sslmode=...&...`.
    pub fn url(&self, role: &str, parameters: &str) -> String {
        self.url_to(HOST, role, parameters)
    }

    /// The same, by another name of the server.
    pub fn url_to(&self, host: &str, role: &str, parameters: &str) -> String {
        let (port, address) = (self.running.port, &self.address);
        let separator = if parameters.is_empty() { "" } else { "&" };
        format!("postgres://{role}:{PASSWORD}@{host}:{port}/{DATABASE}?hostaddr={address}{separator}{parameters}")
    }

    /// The variables of the program; `parameters` are a role's.
    pub fn variables(&self, parameters: impl Fn(&str) -> String) -> Vec<(String, String)> {
        variables(|role| self.url(role, &parameters(role)))
    }
}

impl Drop for SecureServer {
    fn drop(&mut self) {
        if let Some(server) = self.server.take()
            && let Err(error) = self.runtime.block_on(server.stop())
        {
            eprintln!("a test server did not stop: {error}");
        }
    }
}

/// A client's certificate in the test's folder, and the parameters that name it.
pub fn identity(env: &Env, signed: &Signed, name: &str) -> String {
    let [cert, key] = signed.save(env.path(), name);
    format!("sslcert={}&sslkey={}", cert.display(), key.display())
}
