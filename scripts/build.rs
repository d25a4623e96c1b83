//! What `tidegate --version` says of the build: the commit, the target, the compiler.
//!
//! Only a release knows its commit: in other profiles each commit would compile everything again.

use std::path::Path;
use std::process::Command;

fn main() {
    // A build of sources that have no history with them is told the commit.
    println!("cargo::rerun-if-env-changed=TIDEGATE_COMMIT");
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let profile = variable("PROFILE").unwrap_or_default();
    let commit = variable("TIDEGATE_COMMIT").or_else(|| (profile == "release").then(commit).flatten());
    println!("cargo::rerun-if-changed=scripts/build.rs");
    if profile == "release" {
        looked_at().iter().for_each(|path| println!("cargo::rerun-if-changed={path}"));
    }
    let compiler = variable("RUSTC").and_then(|rustc| first_line(&rustc, &["--version"]));
    println!("cargo::rustc-env=TIDEGATE_COMMIT={}", commit.unwrap_or_else(|| "unknown".to_owned()));
    println!("cargo::rustc-env=TIDEGATE_PROFILE={profile}");
    println!("cargo::rustc-env=TIDEGATE_TARGET={}", variable("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=TIDEGATE_COMPILER={}", compiler.unwrap_or_else(|| "an unknown rustc".to_owned()));
}

/// Of the checkout that is built, with what it says of changes; or the one that `cargo package` noted.
fn commit() -> Option<String> {
    if let Some(noted) = std::fs::read_to_string(".cargo_vcs_info.json").ok().as_deref().and_then(noted) {
        return Some(noted);
    }
    // A checkout inside another one's folder is not that one.
    if !Path::new(".git").exists() {
        return None;
    }
    first_line("git", &["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=, with changes"])
}

/// What makes another commit of it, or the same with changes.
fn looked_at() -> Vec<String> {
    let of_git = |name: &str| first_line("git", &["rev-parse", "--git-path", name]);
    let own = ["src", "sql", "Cargo.toml", "Cargo.lock"].map(|path| Some(path.to_owned()));
    let paths = ["HEAD", "refs/heads", "packed-refs"].map(of_git).into_iter().chain(own).flatten();
    // One that is not there would be taken for changed each time.
    paths.filter(|path| Path::new(path).exists()).collect()
}

/// `{"git":{"sha1":"..."}}`: a build script needs no parser of JSON for one word.
fn noted(text: &str) -> Option<String> {
    let rest = text.split_once("\"sha1\"")?.1;
    let sha = rest.split('"').nth(1)?;
    Some(sha.to_owned())
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?.lines().next()?.trim().to_owned();
    Some(line).filter(|line| !line.is_empty())
}
