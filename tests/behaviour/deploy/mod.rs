//! What `deploy/` has for who runs Tidegate: rules for Prometheus, Grafana's dashboards, ways to start it.

mod alerts;
mod dashboards;
mod manifests;
mod package;

use std::process::{Command, Stdio};

use crate::env::{Engine, Test};

pub const TESTS: &[Test] = &[
    Test { name: "promtool_takes_the_metrics", engines: &Engine::ALL, run: alerts::metrics, missing: no_promtool },
    Test {
        name: "alerts_are_what_their_tests_say",
        engines: &[Engine::Postgres],
        run: alerts::rules,
        missing: no_promtool,
    },
    Test { name: "each_alert_has_a_page", engines: &[Engine::Postgres], run: alerts::runbook, missing: || None },
    Test {
        name: "dashboards_are_as_they_should_be",
        engines: &[Engine::Postgres],
        run: dashboards::structure,
        missing: || None,
    },
    Test { name: "dashboards_have_rows", engines: &Engine::ALL, run: dashboards::rows, missing: || None },
    Test {
        name: "promtool_takes_the_dashboards",
        engines: &[Engine::Postgres],
        run: dashboards::expressions,
        missing: no_promtool,
    },
    Test { name: "compose_is_whole", engines: &[Engine::Postgres], run: manifests::compose, missing: || None },
    Test {
        name: "compose_takes_the_file",
        engines: &[Engine::Postgres],
        run: manifests::compose_config,
        missing: manifests::no_compose,
    },
    Test {
        name: "kubernetes_names_what_there_is",
        engines: &[Engine::Postgres],
        run: manifests::kubernetes,
        missing: || None,
    },
    Test {
        name: "the_unit_names_what_there_is",
        engines: &[Engine::Postgres],
        run: manifests::unit,
        missing: manifests::no_systemd,
    },
    Test {
        name: "the_package_is_whole",
        engines: &[Engine::Postgres],
        run: package::debian,
        missing: package::no_cargo_deb,
    },
];

fn no_promtool() -> Option<String> {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_err().then(|| "promtool is not installed".to_owned())
}
