//! The private server that `scripts/fuzz` starts for those targets that need one, and an instance of Tidegate inside
//! of the fuzzer, so that its code is seen by the coverage.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;

use tidegate::app::{App, Listening};
use tidegate::config::{Config, Layers, LiveLimits, Origin};
use tidegate::storage::StorageError;
use tidegate::storage::embedded::{OWNER, locate_running};
use tokio::runtime::Runtime;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: this target is run by scripts/fuzz"))
}

/// A connection string of the owner.
pub fn url() -> String {
    let data_dir = PathBuf::from(variable("TIDEGATE_FUZZ_DATA_DIR"));
    locate_running(&data_dir).expect("scripts/fuzz keeps a server running").url(OWNER, "tidegate")
}

/// An API key of that server.
pub fn key() -> String {
    variable("TIDEGATE_FUZZ_KEY")
}

/// Where a Tidegate within this process listens; it is never stopped, because a fuzzer only ever exits.
pub fn tidegate() -> SocketAddr {
    static RUNNING: OnceLock<(Runtime, App)> = OnceLock::new();
    let (_, app) = RUNNING.get_or_init(|| {
        let runtime = Runtime::new().expect("threads");
        let data_dir = tempfile::tempdir().expect("a folder").keep();
        let mut layers = Layers::new();
        let settings = [
            ("database_url", url()),
            ("listen", "127.0.0.1:0".into()),
            ("data_dir", data_dir.to_string_lossy().into_owned()),
            ("engine", "postgres".into()),
            ("batch.linger_ms", "0".into()),
        ];
        for (key, value) in settings {
            layers.set(key, value, Origin::Flag("fuzz".into())).expect("a known key");
        }
        let config = Config::from_layers(&layers).expect("a good configuration");
        let start = async {
            let limits = LiveLimits::new(config.limits);
            let listening = Listening::start(&config, &limits).await?;
            let reached = listening.reach().await?;
            Ok::<_, StorageError>(listening.attach(reached))
        };
        let app = runtime.block_on(start).unwrap_or_else(|error| panic!("{error}"));
        (runtime, app)
    });
    let address = app.welcome.url.strip_prefix("http://").expect("it is served without TLS");
    address.parse().expect("an address and a port")
}
