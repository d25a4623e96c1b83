//! collectd, by what Prometheus scrapes of its plugin write_prometheus: its other plugins speak none of the protocols.

use std::net::TcpListener;

use crate::Trial;
use crate::agent::{Agent, command, debian, unpacked, without_debian};
use crate::client::Client;
use crate::env::{Env, TestResult, until};
use crate::page::configuration;
use crate::prometheus::{self, Prometheus, are_equal, stored};
use crate::stage::Stage;

pub const TRIALS: &[Trial] = &[Trial {
    name: "collectd",
    run: collectd,
    missing: || without_debian("lib/collectd/write_prometheus.so").or_else(prometheus::missing),
}];

fn collectd(env: &Env) -> TestResult {
    let stage = Stage::new(env);
    // Its plugin takes no port 0: one that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let more = [("9103", port.as_str())];
    let config = configuration("collectd", "collectd.conf", stage.address(), stage.key(), &more);
    let places = format!(
        "BaseDir \"{}\"\nPluginDir \"{}\"\nTypesDB \"{}\"\n",
        env.path().display(),
        debian("lib/collectd").display(),
        debian("share/collectd/types.db").display()
    );
    assert!(unpacked().is_dir());
    std::fs::write(env.path().join("collectd.conf"), places + &config)?;
    let mut command = command(env, debian("sbin/collectd"));
    command.args(["-f", "-C", "collectd.conf", "-P", "collectd.pid"]);
    let collectd = Agent::start(env, "collectd", command);
    let address = format!("127.0.0.1:{port}");
    until("collectd has something to scrape", || {
        let answer = Client::new(&address, None).send("GET", "/metrics", &[], &[]).ok()?;
        answer.text().contains("collectd_load_shortterm{").then_some(())
    });

    let prometheus = Prometheus::start(&stage, "collectd", ("localhost:9103", &address));
    let sql = stage.sql();
    let wanted = "SELECT count(DISTINCT timestamp) FROM metrics WHERE metric_name = 'collectd_load_shortterm'";
    until("several values are stored", || (sql.one::<i64>(wanted) >= 3).then_some(()));
    prometheus.ends_scraping();
    let (sent, stored) = (prometheus.samples(), stored(&stage));
    are_equal(&sent, &stored);
    let host = "SELECT DISTINCT asset_id FROM metrics WHERE metric_name LIKE 'collectd_%'";
    assert_eq!(sql.column::<String>(host), ["web-1"], "the asset is collectd's host");
    prometheus.stop();
    collectd.stop();
    stage.is_well();
    Ok(())
}
