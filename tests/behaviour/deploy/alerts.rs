//! The rules of deploy/alerts.yml, as `promtool` judges them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tidegate::telemetry::METRICS;

use crate::env::{Env, TestResult, until};
use crate::grafana::{list, metrics_of, text};
use crate::groups::{filled, make};
use crate::samples::batch;

/// What `promtool check metrics` says of a text.
pub fn metrics(env: &Env) -> TestResult {
    let tidegate = env.serve_with(&["metrics.open=true"]);
    tidegate.client.events(batch(7)).accepted(7, 0);
    tidegate.client.events("hello").expect(400);
    tidegate.client.get("/v1/events").expect(200);
    let text = tidegate.anonymous().get("/metrics");
    assert!(text.text().contains("tidegate_tenant_items_committed_total{tenant=\"default\"} 7"), "{}", text.text());
    let mut child =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().unwrap().write_all(&text.bytes)?;
    let output = child.wait_with_output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let help: Vec<&str> = text.text().lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    for name in ["process_resident_memory_bytes ", "process_open_fds ", "tidegate_items_received_total "] {
        assert_eq!(help.iter().filter(|line| line.starts_with(name)).count(), 1, "{name}: {help:?}");
    }
    Ok(())
}

/// What `promtool` says of the rules and of their tests, and what they look at.
pub fn rules(env: &Env) -> TestResult {
    let deploy = root().join("deploy");
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(&deploy).output()?;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let tidegate = env.serve();
    let client = &tidegate.client;
    // How far a counter grew is known from its first step on where it was there before. Without TLS no certificate is loaded again.
    let rules = std::fs::read_to_string(deploy.join("alerts.yml"))?;
    let grown: BTreeSet<&str> = rules
        .split("increase(")
        .skip(1)
        .map(|rest| rest.split(['[', '{']).next().unwrap())
        .filter(|name| *name != "tidegate_tls_reloads_total")
        .collect();
    assert!(grown.len() >= 10, "{grown:?}");
    let metrics = client.get("/metrics");
    let told = metrics.text();
    for name in grown {
        let is_told = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        assert!(told.lines().any(is_told), "{name} is not there before it counts");
    }
    // What the rule of groups looks at is there, under the labels that it names.
    filled(client, "s", 1);
    make(client, "s", json!({ "name": "g" }));
    let series = r#"tidegate_group_oldest_unread_seconds{tenant="default",stream="s",group="g"} "#;
    until("it is counted", || client.get("/metrics").text().contains(series).then_some(()));
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read_yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Rules and pages are one set; a page has the parts of all, and names commands and metrics that there are.
pub fn runbook(env: &Env) -> TestResult {
    let [rules, tests, prometheus] =
        ["deploy/alerts.yml", "deploy/alerts_test.yml", "deploy/prometheus.yml"].map(read_yaml);
    assert!(prometheus["global"]["external_labels"]["runbooks"].is_string(), "what the rules name");
    let rules: Vec<&Value> = list(&rules, "/groups").flat_map(|group| list(group, "/rules")).collect();
    let alerts: BTreeSet<&str> = rules.iter().map(|rule| text(rule, "alert")).collect();
    assert_eq!(alerts.len(), rules.len(), "an alert is there twice");
    let fires = |test: &&Value| list(test, "/exp_alerts").next().is_some();
    let fired: BTreeSet<&str> = list(&tests, "/tests")
        .flat_map(|test| list(test, "/alert_rule_test").filter(fires).map(|of| text(of, "alertname")))
        .collect();
    assert_eq!(fired, alerts, "each fires in a test");
    let known: BTreeSet<&str> = METRICS.iter().map(|(name, ..)| *name).collect();
    for rule in &rules {
        let (name, severity) = (text(rule, "alert"), text(&rule["labels"], "severity"));
        assert!(["page", "ticket"].contains(&severity), "{name}: {severity}");
        let url = text(&rule["annotations"], "runbook_url");
        assert_eq!(url, format!("{{{{ $externalLabels.runbooks }}}}/{name}.md"));
        for metric in metrics_of(text(rule, "expr")) {
            let of_parts = ["_bucket", "_sum", "_count"].iter().find_map(|part| metric.strip_suffix(part));
            // Those of tenants and groups are not the recorder's.
            let is_other = metric.starts_with("tidegate_tenant_") || metric.starts_with("tidegate_group_");
            assert!(known.contains(of_parts.unwrap_or(metric)) || is_other, "{name}: no metric {metric}");
        }
    }
    let folder = root().join("docs/runbook");
    let index = std::fs::read_to_string(folder.join("README.md"))?;
    let (mut pages, mut commands, mut statements) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let page = std::fs::read_to_string(&path)?;
        commands.extend(named_commands(&page));
        statements.extend(named_statements(&page));
        if name == "README" {
            continue;
        }
        for part in PARTS {
            assert!(page.contains(part), "{name} has no {part}");
        }
        assert!(index.contains(&format!("[{name}]({name}.md)")), "{name} is not in the list");
        for linked in page.split("](Tidegate").skip(1) {
            let linked = format!("Tidegate{}", linked.split(".md)").next().unwrap());
            assert!(alerts.contains(linked.as_str()), "{name} leads to {linked}");
        }
        pages.insert(name);
    }
    assert_eq!(pages.iter().map(String::as_str).collect::<BTreeSet<_>>(), alerts, "pages and rules");
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let said = env.cli(&words);
        assert_eq!(said.code, Some(0), "{command}: {said:?}");
    }
    assert!(statements.len() >= 4, "{statements:?}");
    let sql = env.sql();
    statements.iter().for_each(|statement| sql.run(statement));
    Ok(())
}

/// The statements that a page names, but for those that are given something, or that only TimescaleDB knows.
fn named_statements(page: &str) -> impl Iterator<Item = String> {
    let statements =
        page.split("`SELECT ").skip(1).map(|rest| format!("SELECT {}", rest.split('`').next().unwrap_or_default()));
    statements.filter(|statement| !statement.contains("PID") && !statement.contains("timescaledb_information"))
}

/// The parts that each page has.
const PARTS: [&str; 5] = [
    "**What it means.** ",
    "**What users feel.** ",
    "## How to look\n",
    "## What to do\n",
    "## When to wake somebody\n",
];

/// The commands that a page names, without what they are given.
fn named_commands(page: &str) -> impl Iterator<Item = String> {
    page.split("`tidegate ").skip(1).map(|rest| {
        let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
        let words: Vec<&str> = rest.split('`').next().unwrap_or_default().split(' ').take_while(is_word).collect();
        words.join(" ")
    })
}
