//! Ways to start Tidegate: docker-compose.yml, deploy/kubernetes, the systemd unit. No container engine and no cluster runs here: the
//! files are read, and their names, ports and paths compared with what the program has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use tidegate::config::{ConnectionUrl, KEYS};
use tidegate::limits::SHUTDOWN_DEADLINE;

use crate::env::{Env, TestResult};
use crate::grafana::{list, text};

const PORT: &str = "8080";
/// The account of the image.
const ACCOUNT: u64 = 10_001;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a file of YAML, with what they merge merged.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| {
            let mut value =
                serde_yaml_ng::Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}"));
            value.apply_merge().unwrap();
            serde_json::to_value(value).unwrap()
        })
        .collect()
}

/// Whether a variable of the environment is a key of the configuration, or names the file of one that is secret.
fn is_key(variable: &str) -> bool {
    KEYS.iter().any(|key| {
        let name = key.variable();
        variable == name || key.secret && variable.strip_suffix("_FILE") == Some(&name)
    })
}

fn members(of: &Value) -> impl Iterator<Item = (&str, &Value)> {
    of.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

pub fn compose(env: &Env) -> TestResult {
    let compose = documents("docker-compose.yml").remove(0);
    let services = &compose["services"];
    let names: Vec<&str> = members(services).map(|(name, _)| name).collect();
    assert_eq!(names, ["grafana", "k6", "prometheus", "tidegate", "timescaledb"]);
    let profiles = members(services).filter(|(_, service)| service["profiles"].is_array());
    assert_eq!(profiles.map(|(name, _)| name).collect::<Vec<_>>(), ["k6"], "the others come by `docker compose up`");
    for (variable, _) in members(&services["tidegate"]["environment"]) {
        assert!(is_key(variable), "{variable} is no key of the configuration");
    }
    // The secrets that there are: those that make-secrets makes.
    let script = env.path().join("make-secrets");
    std::fs::copy(root().join("deploy/make-secrets"), &script)?;
    for _ in 0..2 {
        assert!(Command::new("sh").arg(&script).output()?.status.success(), "it may be run again");
    }
    let made: BTreeSet<String> = std::fs::read_dir(env.path().join("secrets"))?
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let declared: BTreeSet<String> = members(&compose["secrets"]).map(|(name, _)| name.to_owned()).collect();
    assert_eq!(made, declared);
    for (name, secret) in members(&compose["secrets"]) {
        assert_eq!(text(secret, "file"), format!("./deploy/secrets/{name}"));
    }
    for (name, service) in members(services) {
        for hardened in ["read_only", "cap_drop", "security_opt", "logging"] {
            assert!(!service[hardened].is_null(), "{name} has no {hardened}");
        }
        assert!(service["deploy"]["resources"]["limits"]["memory"].is_string(), "{name}");
        if let Some(image) = service["image"].as_str() {
            let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
            assert!(tag.contains('.') && !tag.contains("latest"), "{name}: {image} is not pinned");
        }
        let used = list(service, "/secrets").map(|secret| secret.as_str().unwrap().to_owned());
        assert!(used.collect::<BTreeSet<_>>().is_subset(&declared), "{name}");
        for (variable, value) in members(&service["environment"]) {
            let path = value.as_str().unwrap_or_default();
            if let Some(secret) = path.strip_prefix("/run/secrets/") {
                assert!(list(service, "/secrets").any(|given| given == secret), "{name}: {variable} is not given");
            }
        }
        for volume in list(service, "/volumes").map(|volume| volume.as_str().unwrap()) {
            let source = volume.split(':').next().unwrap();
            let is_there = match source.strip_prefix("./") {
                Some(path) => root().join(path).exists(),
                None => compose["volumes"].as_object().unwrap().contains_key(source),
            };
            assert!(is_there, "{name}: {source}");
        }
        for port in list(service, "/ports") {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port} is not on loopback alone");
        }
    }
    // What Grafana's provisioning is to be told.
    let provisioning = read("deploy/grafana/provisioning/datasources/tidegate.yml");
    let asked: BTreeSet<&str> = provisioning.split("${").skip(1).filter_map(|rest| rest.split('}').next()).collect();
    let told: BTreeSet<&str> = members(&services["grafana"]["environment"]).map(|(name, _)| name).collect();
    assert!(asked.is_subset(&told) && asked.len() == 4, "{asked:?} of {told:?}");
    assert!(read("deploy/init-tidegate.sh").contains("CREATE ROLE tidegate_grafana"), "the login that is named");
    Ok(())
}

pub fn compose_config(_: &Env) -> TestResult {
    let output =
        Command::new("docker").args(["compose", "--profile", "*", "config", "--quiet"]).current_dir(root()).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

pub fn no_compose() -> Option<String> {
    let found = Command::new("docker").args(["compose", "version"]).output();
    let is_there = found.is_ok_and(|output| output.status.success());
    (!is_there).then(|| "docker compose is not installed".to_owned())
}

pub fn kubernetes(env: &Env) -> TestResult {
    let folder = root().join("deploy/kubernetes");
    let files: BTreeSet<String> =
        std::fs::read_dir(&folder)?.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let all = |file: &str| documents(&format!("deploy/kubernetes/{file}"));
    let kustomization = all("kustomization.yaml").remove(0);
    let mut named: BTreeSet<String> =
        list(&kustomization, "/resources").map(|file| file.as_str().unwrap().to_owned()).collect();
    named.extend(["kustomization.yaml", "secret.example.yaml"].map(str::to_owned));
    assert_eq!(files, named, "every file is applied, but for the example");

    let set = all("statefulset.yaml").remove(0);
    let pod = &set["spec"]["template"]["spec"];
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels, &set["spec"]["selector"]["matchLabels"]);
    for security in [("runAsUser", ACCOUNT), ("runAsGroup", ACCOUNT), ("fsGroup", ACCOUNT)] {
        assert_eq!(pod["securityContext"][security.0], security.1);
    }
    assert!(read("deploy/Dockerfile").contains(&format!("USER {ACCOUNT}:{ACCOUNT}")));
    assert!(read("deploy/Dockerfile").contains(&format!("EXPOSE {PORT}")));
    // A service of the name tidegate would otherwise be TIDEGATE_PORT in its environment.
    assert_eq!((&pod["enableServiceLinks"], &pod["automountServiceAccountToken"]), (&false.into(), &false.into()));
    let container = &pod["containers"][0];
    let pause: u64 = list(container, "/lifecycle/preStop/exec/command").last().unwrap().as_str().unwrap().parse()?;
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > 2 * SHUTDOWN_DEADLINE.as_secs() + pause, "longer than a shutdown may take");
    let security = &container["securityContext"];
    assert_eq!(
        (&security["readOnlyRootFilesystem"], &security["allowPrivilegeEscalation"]),
        (&true.into(), &false.into())
    );
    assert_eq!(container["ports"][0]["containerPort"].to_string(), PORT);

    let mounts: Vec<&str> = list(container, "/volumeMounts").map(|mount| text(mount, "mountPath")).collect();
    let secret = &all("secret.example.yaml").remove(0)["stringData"];
    for variable in list(container, "/env") {
        let name = text(variable, "name");
        assert!(is_key(name) || name == "POD_NAMESPACE", "{name} is no key of the configuration");
        // Of the pod itself.
        if !variable["valueFrom"].is_null() {
            assert!(variable["valueFrom"]["fieldRef"]["fieldPath"].is_string(), "{name}");
            continue;
        }
        let value = text(variable, "value");
        match name {
            "TIDEGATE_NODE_URL" => {
                let nodes = text(&set["spec"], "serviceName");
                assert_eq!(value, format!("http://$(TIDEGATE_NODE_NAME).{nodes}.$(POD_NAMESPACE).svc:{PORT}"));
            }
            "TIDEGATE_LISTEN" => assert!(value.ends_with(&format!(":{PORT}")), "{value}"),
            "TIDEGATE_DATA_DIR" => assert!(mounts.contains(&value), "{value} is no volume"),
            _ if name.ends_with("_FILE") => {
                let file = value.strip_prefix("/run/secrets/tidegate/").unwrap_or_else(|| panic!("{value}"));
                let hosts = text(secret, file).split(['@', '/']).nth(3).unwrap();
                let url: Result<ConnectionUrl, String> = text(secret, file).parse();
                url.unwrap_or_else(|why| panic!("{file}: {why}"));
                assert!(hosts.matches(":5432").count() > 1, "{file}: a failover needs another host than {hosts}");
            }
            _ => {}
        }
    }
    // The probes' paths, of a running server.
    let tidegate = env.share();
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        assert_eq!(text(get, "port"), text(&container["ports"][0], "name"));
        tidegate.anonymous().get(text(get, "path")).expect(200);
    }
    let services = all("service.yaml");
    assert!(services.iter().any(|service| service["metadata"]["name"] == set["spec"]["serviceName"]));
    for service in &services {
        assert_eq!(&service["spec"]["selector"], labels);
        assert_eq!(service["spec"]["ports"][0]["port"].to_string(), PORT);
    }
    several_nodes(&set, &services, labels);
    let network = all("network.yaml").remove(0);
    for way in ["ingress", "egress"] {
        let peers = if way == "ingress" { "from" } else { "to" };
        let to_nodes = list(&network, &format!("/spec/{way}")).any(|rule| {
            rule[peers]
                .as_array()
                .is_some_and(|peers| peers.iter().any(|peer| peer.pointer("/podSelector/matchLabels") == Some(labels)))
                && rule["ports"][0]["port"].as_u64() == PORT.parse().ok()
        });
        assert!(to_nodes, "nodes ask each other for receipts: {way}");
    }
    let disruption = all("disruption.yaml").remove(0);
    assert_eq!(disruption["spec"]["maxUnavailable"], 1, "all others take what it does not");
    let selected = |file: &str, pointer: &str| all(file).remove(0).pointer(pointer).cloned();
    assert_eq!(selected("disruption.yaml", "/spec/selector/matchLabels").as_ref(), Some(labels));
    assert_eq!(selected("network.yaml", "/spec/podSelector/matchLabels").as_ref(), Some(labels));
    Ok(())
}

/// What several nodes need of the set and its services.
fn several_nodes(set: &Value, services: &[Value], labels: &Value) {
    let spec = &set["spec"];
    assert!(spec["replicas"].as_u64().unwrap() > 2, "one may be away, and another be replaced");
    assert_eq!(text(&spec["updateStrategy"], "type"), "RollingUpdate");
    assert!(spec["minReadySeconds"].as_u64().unwrap() >= 10, "a node that fails stops the rollout");
    for when in ["whenDeleted", "whenScaled"] {
        let policy = &spec["persistentVolumeClaimRetentionPolicy"][when];
        assert_eq!(policy, "Retain", "there may be requests in a spool: {when}");
    }
    // The node's own address leads to one that is not ready as well, which still has its spool.
    let own = services.iter().find(|service| service["metadata"]["name"] == spec["serviceName"]).unwrap();
    assert_eq!((&own["spec"]["clusterIP"], &own["spec"]["publishNotReadyAddresses"]), (&"None".into(), &true.into()));
    let spread = spec["template"]["spec"]["topologySpreadConstraints"].as_array().unwrap();
    let keys: Vec<&str> = spread.iter().map(|constraint| text(constraint, "topologyKey")).collect();
    assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    for constraint in spread {
        assert_eq!(&constraint["labelSelector"]["matchLabels"], labels);
    }
    let ready = &spec["template"]["spec"]["containers"][0]["readinessProbe"];
    let out_after = ready["periodSeconds"].as_u64().unwrap() * ready["failureThreshold"].as_u64().unwrap();
    assert!(out_after <= 5, "a node that is draining is out after {out_after} s");
    let said = read("deploy/kubernetes/statefulset.yaml").contains("opens 67 connections");
    assert!(
        said && read("docs/OPERATIONS.md").contains("(8 + 8 + 51 by default)"),
        "the manifest says what a node opens"
    );
}

/// The unit: what it names are keys, and nothing that it may do has grown.
pub fn unit(_: &Env) -> TestResult {
    let unit = read("deploy/tidegate.service");
    let values = |name: &str| {
        let prefix = format!("{name}=");
        unit.lines().filter_map(move |line| line.strip_prefix(prefix.as_str()).map(str::to_owned)).collect::<Vec<_>>()
    };
    for variable in values("Environment") {
        assert!(is_key(variable.split('=').next().unwrap()), "{variable}");
    }
    for credential in values("LoadCredential") {
        let name = credential.split(':').next().unwrap();
        assert!(KEYS.iter().any(|key| key.path == name && key.secret), "{credential}");
    }
    assert!(values("TimeoutStopSec")[0].parse::<u32>()? > 60, "longer than a shutdown may take");
    let analyzed = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .arg(root().join("deploy/tidegate.service"))
        .output()?;
    assert!(analyzed.status.success(), "{}", String::from_utf8_lossy(&analyzed.stdout));
    Ok(())
}

pub fn no_systemd() -> Option<String> {
    let found = Command::new("systemd-analyze").arg("--version").output();
    found.is_err().then(|| "systemd-analyze is not installed".to_owned())
}
