//! The configurations of docs/agents, as they stand there: a block behind a comment with its name,
//! `<!-- tried: prometheus.yml -->`. What a reader replaces is replaced: the address, the key, and what a trial names.

use std::path::Path;
use std::process::Command;

/// What pages have in the place of the address and of the key.
const ADDRESS: &str = "tidegate.example:8080";
const KEY: &str = "tg_your_key";

/// A configuration of a page, with an address, a key, and these replacements, each of which must have something to
/// replace.
pub fn configuration(page: &str, name: &str, address: &str, key: &str, more: &[(&str, &str)]) -> String {
    let mut text = block(page, name).replace(ADDRESS, address).replace(KEY, key);
    for (from, to) in more {
        assert!(text.contains(from), "docs/agents/{page}.md, {name}: there is no {from}");
        text = text.replace(from, to);
    }
    text
}

fn block(page: &str, name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/agents").join(page).with_extension("md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mark = format!("<!-- tried: {name} -->");
    let (_, rest) = text.split_once(&mark).unwrap_or_else(|| panic!("{}: there is no {mark}", path.display()));
    let (_, rest) = rest.split_once("```").expect("a block behind its mark");
    let (_, block) = rest.split_once('\n').unwrap();
    block.split_once("```").expect("a block ends").0.to_owned()
}

/// Variables of a shell, `NAME=value` a line, as the environment of a command. A value may stand in quotation marks.
pub fn variables<'a>(command: &'a mut Command, text: &str) -> &'a mut Command {
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = line.trim_start_matches("export ").split_once('=').expect("NAME=value");
        command.env(name, value.trim_matches(['"', '\'']));
    }
    command
}
