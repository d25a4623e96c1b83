//! The blocks of code in the pages that people read, and what each is.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The order in which a reader goes through them; other pages come after these, by name.
const ORDER: [&str; 7] = [
    "README.md",
    "docs/QUICKSTART.md",
    "docs/CONCEPTS.md",
    "docs/STREAMS.md",
    "docs/SQL_COOKBOOK.md",
    "docs/EVENTS.md",
    "docs/COMMANDS.md",
];

/// First words of commands, by which a block that does not say its kind is known.
const PROGRAMS: [&str; 17] = [
    "curl",
    "tidegate",
    "printf",
    "echo",
    "export",
    "make",
    "docker",
    "psql",
    "pg_dump",
    "k6",
    "git",
    "cargo",
    "kubectl",
    "systemctl",
    "python3",
    "node",
    "apt",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Shell,
    Sql,
    Toml,
    Json,
    /// JSON that the shell block before it answers.
    Shown,
    /// What a program prints, a drawing, a formula, another program's configuration.
    Other,
}

#[derive(Debug)]
pub struct Block {
    pub line: usize,
    pub kind: Kind,
    pub text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// README.md and each page of docs/, in the order of reading, with their blocks.
pub fn pages() -> Vec<(String, Vec<Block>)> {
    let mut names = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort_by_key(|name| (ORDER.iter().position(|page| page == name).unwrap_or(ORDER.len()), name.clone()));
    let blocks = |name: String| {
        let text = std::fs::read_to_string(root().join(&name)).unwrap();
        let blocks = blocks(&name, &text);
        (name, blocks)
    };
    names.into_iter().map(blocks).collect()
}

/// Blocks between fences, and indented ones after an empty line.
fn blocks(page: &str, text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let begin = at;
        if let Some(info) = lines[at].trim_start().strip_prefix("```") {
            at += 1;
            let first = at;
            while !lines[at].trim_start().starts_with("```") {
                at += 1;
            }
            let text = lines[first..at].join("\n");
            found.push(Block { line: begin + 1, kind: kind(page, begin + 1, info.trim(), &text), text });
        } else if lines[at].starts_with("    ") && (at == 0 || lines[at - 1].is_empty()) {
            while at < lines.len() && (lines[at].starts_with("    ") || lines[at].is_empty()) {
                at += 1;
            }
            let unindented = |line: &&str| line.get(4..).unwrap_or_default().to_owned();
            let text = lines[begin..at].iter().map(unindented).collect::<Vec<_>>().join("\n").trim_end().to_owned();
            found.push(Block { line: begin + 1, kind: guessed(&text), text });
            continue;
        }
        at += 1;
    }
    found
}

fn kind(page: &str, line: usize, info: &str, text: &str) -> Kind {
    match info {
        "" => guessed(text),
        "sh" => Kind::Shell,
        "sql" => Kind::Sql,
        "toml" => Kind::Toml,
        "json shown" => Kind::Shown,
        json if json == "json" || json.starts_with("json ") => Kind::Json,
        "text" | "ini" | "yaml" | "promql" => {
            assert!(!has_commands(text), "{page}, line {line}: {info} that has commands: it is not run");
            Kind::Other
        }
        other => panic!("{page}, line {line}: no kind of block that the test knows: {other}"),
    }
}

fn guessed(text: &str) -> Kind {
    if text.starts_with(['{', '[']) {
        return Kind::Json;
    }
    if ["SELECT ", "WITH ", "INSERT ", "CREATE ", "ALTER ", "DROP "].iter().any(|word| text.starts_with(word)) {
        return Kind::Sql;
    }
    if has_commands(text) { Kind::Shell } else { Kind::Other }
}

fn has_commands(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words =
            line.split(' ').skip_while(|word| word.split_once('=').is_some_and(|(name, _)| is_variable(name)));
        words.next().is_some_and(|word| PROGRAMS.contains(&word) || word.starts_with("deploy/"))
    })
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The commands of a block of shell: a line each, or several that quotes or a backslash hold together.
pub fn commands(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open = None;
    let mut command = String::new();
    for line in text.lines() {
        command += line;
        command.push('\n');
        let mut before = ' ';
        let mut goes_on = false;
        for c in line.chars() {
            goes_on = false;
            match (open, c) {
                (None, '#') if before == ' ' => break,
                (None, '\'' | '"') if before != '\\' => open = Some(c),
                (Some(quote), c) if c == quote && (quote == '\'' || before != '\\') => open = None,
                (None, '\\') => goes_on = true,
                _ => {}
            }
            before = c;
        }
        if open.is_none() && !goes_on {
            all.push(std::mem::take(&mut command));
        }
    }
    assert!(command.is_empty(), "a quote that does not end: {command}");
    all
}

/// JSON of a page, in which `...` stands for what is left out: a member of that name says so.
pub fn shortened(text: &str) -> Result<Value, serde_json::Error> {
    let (mut full, mut rest, mut quoted) = (String::new(), text, false);
    while let Some(c) = rest.chars().next() {
        if !quoted && rest.starts_with("...") {
            full += r#""...": 0"#;
            rest = &rest[3..];
            continue;
        }
        if quoted && c == '\\' {
            full += &rest[..2];
            rest = &rest[2..];
            continue;
        }
        quoted ^= c == '"';
        full.push(c);
        rest = &rest[c.len_utf8()..];
    }
    serde_json::from_str(&full)
}
