//! The Debian package, made of the program that the tests have.

use std::path::Path;
use std::process::Command;

use super::manifests::root;
use crate::env::{Env, TestResult};

pub fn no_cargo_deb() -> Option<String> {
    let found =
        |program: &str, argument: &str| Command::new(program).arg(argument).output().is_ok_and(|o| o.status.success());
    let is_there = found("cargo-deb", "--version") && found("dpkg-deb", "--version");
    (!is_there).then(|| "cargo-deb or dpkg-deb is not installed".to_owned())
}

/// It has the program without debug information and that apart, the unit, a configuration that stays as people change it, the docs;
/// what was unpacked runs, and takes its configuration.
pub fn debian(env: &Env) -> TestResult {
    let (package, files) = (env.path().join("tidegate.deb"), env.path().join("files"));
    let made = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["deb", "--no-build", "--profile", "dev", "--fast", "--output"])
        .arg(&package)
        .output()?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let told = |arguments: &[&str]| {
        let output = Command::new("dpkg-deb").arg(arguments[0]).arg(&package).args(&arguments[1..]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let control = told(&["--field"]);
    for field in
        ["Package: tidegate", concat!("Version: ", env!("CARGO_PKG_VERSION")), " libc6 (>= ", "Recommends: postgresql"]
    {
        assert!(control.contains(field), "{field}: {control}");
    }
    assert_eq!(told(&["--info", "conffiles"]).trim(), "/etc/tidegate/tidegate.toml");
    let script = told(&["--info", "postinst"]);
    assert!(script.contains("systemctl") && !script.contains("#DEBHELPER#"), "{script}");
    told(&["--extract", files.to_str().unwrap()]);
    let at = |path: &str| files.join(path);
    let unit = std::fs::read_to_string(at("usr/lib/systemd/system/tidegate.service"))
        .or_else(|_| std::fs::read_to_string(at("lib/systemd/system/tidegate.service")))?;
    assert_eq!(unit, std::fs::read_to_string(root().join("deploy/tidegate.service"))?);
    for path in [
        "usr/share/doc/tidegate/docs/OPERATIONS.md",
        "usr/share/doc/tidegate/copyright",
        "usr/share/tidegate/prometheus/alerts.yml",
    ] {
        assert!(at(path).is_file(), "{path}");
    }
    let size = |path: &Path| std::fs::metadata(path).map(|of| of.len());
    let program = at("usr/bin/tidegate");
    assert!(size(&program)? < size(Path::new(env!("CARGO_BIN_EXE_tidegate")))?, "it has its debug information still");
    assert!(debug_files(&at("usr/lib/debug")) > 0, "and that is nowhere");
    let run = |arguments: &[&str]| Command::new(&program).current_dir(env.path()).args(arguments).output();
    let version = run(&["--version"])?;
    assert!(version.status.success() && version.stdout.starts_with(b"tidegate "), "{version:?}");
    // 64 would say that it is no configuration.
    let config = at("etc/tidegate/tidegate.toml");
    let checked = run(&[
        "doctor",
        "--config",
        config.to_str().unwrap(),
        "--data-dir",
        "data",
        "--database-url",
        "host=127.0.0.1 port=1",
    ])?;
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    Ok(())
}

/// How many files there are, in all folders below.
fn debug_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { debug_files(&entry.path()) } else { 1 }).sum()
}
