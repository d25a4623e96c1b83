//! The mandatory cases of JSON-Schema-Test-Suite for draft 2020-12, through the validator that is in use. What they refer to is
//! in a registry that only this test has.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::compiled::Schema;
use crate::payload::value;

/// Where the suite's schemas think that the others are.
const REMOTES: &str = "http://localhost:1234";

fn read(path: &Path) -> Value {
    value(&fs::read_to_string(path).unwrap(), 100).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn every_mandatory_case_is_judged_as_it_should_be() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/json-schema");
    let remotes = suite.join("remotes");
    let named = |path: &PathBuf| format!("{REMOTES}/{}", path.strip_prefix(&remotes).unwrap().display());
    let mut registry = jsonschema::Registry::new();
    for path in files(&remotes) {
        registry = registry.add(named(&path), read(&path)).unwrap();
    }
    let registry = registry.prepare().unwrap();
    let (mut cases, mut wrong) = (0, Vec::new());
    for path in files(&suite.join("draft2020-12")) {
        let groups = read(&path);
        for group in groups.as_array().unwrap() {
            let schema = Schema::compile_among(&group["schema"], &registry);
            for case in group["tests"].as_array().unwrap() {
                cases += 1;
                let name = || {
                    format!(
                        "{}: {}: {}",
                        path.file_name().unwrap().to_string_lossy(),
                        group["description"],
                        case["description"]
                    )
                };
                match &schema {
                    Err(error) => wrong.push(format!("{}: {error}", name())),
                    Ok(schema)
                        if schema.judge_value(&case["data"], &mut { u64::MAX }).is_ok() != (case["valid"] == true) =>
                    {
                        wrong.push(name())
                    }
                    Ok(_) => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases > 1200, "{cases} cases are not all");
}
