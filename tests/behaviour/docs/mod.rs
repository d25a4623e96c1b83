//! Every example of README.md and docs/*.md, as it stands there: commands are run as a reader runs them, on a private PostgreSQL
//! of the program's own, SQL is asked of the service's reader, answers that are shown are compared with those that come.

mod blocks;
mod left_out;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate::config::{Config, Layers};

use self::blocks::{Block, Kind, commands, pages, shortened};
use self::left_out::{EMPTY, LEFT_OUT};
use crate::env::{DEADLINE, Engine, Env, Test, TestResult, until};
use crate::examples::without;
use crate::process::Tidegate;

pub const TESTS: &[Test] = &[
    Test { name: "examples_work", engines: &Engine::ALL, run: examples_work, missing },
    Test { name: "examples_are_well_formed", engines: &[Engine::Postgres], run: well_formed, missing: || None },
];

fn missing() -> Option<String> {
    ["bash", "curl", "jq", "gzip", "psql"].into_iter().find_map(without)
}

/// JSON that is shown can be read, and configuration is taken; what is left out is still there to be left out.
fn well_formed(env: &Env) -> TestResult {
    let pages = pages();
    let mut wrong = Vec::new();
    for (page, blocks) in &pages {
        for block in blocks {
            let judged = match block.kind {
                Kind::Json | Kind::Shown => lines_of_json(&block.text).map_err(|error| error.to_string()).map(drop),
                Kind::Toml => {
                    let path = env.path().join("tidegate.toml");
                    std::fs::write(&path, &block.text)?;
                    let mut layers = Layers::new();
                    let read = layers.file(&path, true).and_then(|_| Config::from_layers(&layers));
                    read.map_err(|error| error.to_string()).map(drop)
                }
                Kind::Shell | Kind::Sql | Kind::Other => Ok(()),
            };
            if let Err(error) = judged {
                wrong.push(format!("{page}, line {}: {error}", block.line));
            }
        }
    }
    for (page, start, _) in LEFT_OUT {
        let is_there = |block: &Block| {
            (block.kind == Kind::Shell && commands(&block.text).iter().any(|command| command.starts_with(start)))
                || (block.kind == Kind::Sql && block.text.starts_with(start))
        };
        let has = |(name, blocks): &(String, Vec<Block>)| name == page && blocks.iter().any(is_there);
        if !pages.iter().any(has) {
            wrong.push(format!("{page} has no command `{start}` any more: take it off the list of what is not run"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A document, or one on each line.
fn lines_of_json(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    let one = shortened(text).map(|value| vec![value]);
    one.or_else(|error| text.lines().map(shortened).collect::<Result<_, _>>().map_err(|_| error))
}

fn examples_work(env: &Env) -> TestResult {
    let engine = format!("engine={}", env.engine.as_str());
    let tidegate = Tidegate::serve(env, &[], &["--set".to_owned(), engine]);
    let reader = Reader::new(env, &tidegate);
    let pages = pages();
    let wrong: Vec<String> = pages.iter().flat_map(|(page, blocks)| reader.goes_through(page, blocks)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    reader.cookbook_is_right(&pages);
    Ok(())
}

/// Somebody with a terminal in the folder in which the program serves.
struct Reader<'a> {
    env: &'a Env,
    tidegate: &'a Tidegate,
    path: String,
    real_path: String,
}

impl<'a> Reader<'a> {
    fn new(env: &'a Env, tidegate: &'a Tidegate) -> Self {
        let bin = env.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for name in ["curl", "tidegate"] {
            let file = bin.join(name);
            std::fs::write(&file, include_str!("asked.sh")).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        }
        let own = std::env::var("PATH").unwrap_or_default();
        let real_path = format!("{}:{own}", env.installation().bin_dir.display());
        Self { env, tidegate, path: format!("{}:{real_path}", bin.display()), real_path }
    }

    /// Queries of the cookbook that compare buckets find what the service answers, and a row a bucket.
    fn cookbook_is_right(&self, pages: &[(String, Vec<Block>)]) {
        let page = "docs/SQL_COOKBOOK.md";
        let blocks = &pages.iter().find(|(name, _)| name == page).unwrap().1;
        // Asked once more: what was recorded may be of rollups that were not whole yet.
        let rows = |words: &str| -> Vec<Value> {
            let block = blocks.iter().find(|block| block.kind == Kind::Sql && block.text.contains(words)).unwrap();
            let mut query = Command::new(env!("CARGO_BIN_EXE_tidegate"));
            query.args(["query", "--json", &block.text]).current_dir(self.env.path());
            let found = query.env_clear().env("PATH", &self.real_path).output().unwrap();
            serde_json::from_slice(&found.stdout).unwrap_or_else(|error| panic!("{error}: {found:?}"))
        };
        let path = "/v1/metrics?metric_name=requests_total&aggregate=increase&resolution=1d&from=-7d";
        let by_day = |rows: &[Value], day: &str, value: &str| -> BTreeMap<String, f64> {
            let number = |value: &Value| value.as_f64().or_else(|| value.as_str()?.parse().ok()).unwrap();
            rows.iter().map(|row| (row[day].as_str().unwrap()[..10].to_owned(), number(&row[value]))).collect()
        };
        until("the query and the service find the same", || {
            let asked = self.tidegate.client.get(path).expect(200);
            let by_http = by_day(asked["data"].as_array().unwrap(), "bucket", "value");
            let by_sql = by_day(&rows("AS requests"), "day", "requests");
            (by_http.values().sum::<f64>() > 60_000.0 && by_sql == by_http).then_some(())
        });
        let hours = rows("AS a_day_before");
        let buckets: BTreeSet<&str> = hours.iter().map(|row| row["bucket"].as_str().unwrap()).collect();
        assert_eq!(buckets.len(), hours.len(), "{hours:?}");
    }

    fn record(&self, page: &str) -> PathBuf {
        self.env.path().join(format!("record-{}", page.replace('/', "-")))
    }

    /// What is wrong with a page; its blocks are run in their order, to the first that fails.
    fn goes_through(&self, page: &str, blocks: &[Block]) -> Vec<String> {
        let record = self.record(page);
        std::fs::create_dir(&record).unwrap();
        let script = self.script(page, blocks, &record);
        if script.is_empty() {
            return Vec::new();
        }
        let log = self.env.log_file(&page.replace('/', "-"));
        let output = std::fs::File::create(&log).unwrap();
        let status = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.env.path())
            .env_clear()
            .env("PATH", &self.path)
            .env("REAL_PATH", &self.real_path)
            .env("TIDEGATE", env!("CARGO_BIN_EXE_tidegate"))
            .env("RECORD", &record)
            .env("PATIENCE", DEADLINE.as_secs().to_string())
            .env(
                "EMPTY",
                EMPTY.iter().filter(|(of, ..)| *of == page).map(|(_, words, _)| *words).collect::<Vec<_>>().join("\n"),
            )
            .env("TIDEGATE_KEY", self.tidegate.client.key())
            .env("TIDEGATE_URL", self.tidegate.client.url())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .status()
            .unwrap();
        let mut wrong = Vec::new();
        if !status.success() {
            let at = std::fs::read_to_string(record.join("at")).unwrap_or_default();
            let said = std::fs::read_to_string(&log).unwrap();
            let from = said.len().saturating_sub(1500);
            let end = said.char_indices().find(|(at, _)| *at >= from).map_or("", |(at, _)| &said[at..]);
            wrong.push(format!("{page}, the block of line {at}: {status}\n{end}"));
        }
        let answers = answers(&record);
        for (line, asked) in answers.iter().flat_map(|(line, all)| all.iter().map(move |one| (line, one))) {
            if asked.answer.is_none() {
                wrong.push(format!("{page}, the block of line {line}: nothing is found by {}", asked.words));
            }
        }
        wrong.extend(self.shown(page, blocks, &answers));
        wrong
    }

    fn script(&self, page: &str, blocks: &[Block], record: &Path) -> String {
        let mut script = String::new();
        for block in blocks {
            let all = match block.kind {
                Kind::Shell => commands(&block.text),
                Kind::Sql => {
                    std::fs::write(record.join(format!("{}.sql", block.line)), &block.text).unwrap();
                    vec![format!("tidegate query --json \"$(cat {}/{}.sql)\"\n", record.display(), block.line)]
                }
                _ => continue,
            };
            let begins = |start: &str| block.text.starts_with(start) && block.kind == Kind::Sql;
            let is_left = |command: &&String| {
                !LEFT_OUT.iter().any(|(of, start, _)| *of == page && (command.starts_with(start) || begins(start)))
            };
            let run: String = all.iter().filter(is_left).map(String::as_str).collect();
            if run.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
                continue;
            }
            write!(script, "export BLOCK={0}; printf {0} > \"$RECORD/at\"\n{run}", block.line).unwrap();
        }
        if script.is_empty() {
            return script;
        }
        let script = script.replace("tg_...", self.tidegate.client.key());
        let script = script.replace("http://127.0.0.1:8080", &self.tidegate.client.url());
        format!("set -eu -o pipefail\nauth=\"Authorization: Bearer $TIDEGATE_KEY\"\nurl=$TIDEGATE_URL\n{script}")
    }

    /// The last answer of the block before is of the form that is shown.
    fn shown(&self, page: &str, blocks: &[Block], answers: &BTreeMap<usize, Vec<Asked>>) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut before = 0;
        for block in blocks {
            match block.kind {
                Kind::Shell | Kind::Sql => before = block.line,
                Kind::Shown => {
                    let last = answers.get(&before).and_then(|all| all.last());
                    let answer = last.and_then(|asked| asked.answer.as_deref()).unwrap_or_default();
                    let expected = shortened(&block.text).unwrap();
                    let told = match serde_json::from_str(answer) {
                        Ok(found) => differs("", &expected, &found),
                        Err(error) => Some(format!("{error}: {answer}")),
                    };
                    wrong.extend(told.map(|told| format!("{page}, line {}: is not what comes: {told}", block.line)));
                }
                _ => {}
            }
        }
        wrong
    }
}

/// A command and what it answered; nothing where that stayed empty.
struct Asked {
    words: String,
    answer: Option<String>,
}

/// What the commands of each block asked, in their order.
fn answers(record: &Path) -> BTreeMap<usize, Vec<Asked>> {
    let mut files: Vec<_> = std::fs::read_dir(record).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all: BTreeMap<usize, Vec<Asked>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "asked")) {
        let line = file.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().parse().unwrap();
        let words = std::fs::read_to_string(file).unwrap();
        let answer = std::fs::read(file.with_extension("out")).ok();
        let answer = answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        all.entry(line).or_default().push(Asked { words, answer });
    }
    all
}

/// Where two documents are of different forms: members, and kinds of values.
fn differs(at: &str, shown: &Value, found: &Value) -> Option<String> {
    match (shown, found) {
        (Value::Object(shown), Value::Object(found)) => {
            let names = |of: &serde_json::Map<String, Value>| of.keys().cloned().collect::<BTreeSet<_>>();
            let (mut said, came) = (names(shown), names(found));
            let is_short = said.remove("...");
            if !said.is_subset(&came) || (!is_short && said != came) {
                return Some(format!("{at}: {said:?} is shown, {came:?} came"));
            }
            said.iter().find_map(|name| differs(&format!("{at}/{name}"), &shown[name], &found[name]))
        }
        (Value::Array(shown), Value::Array(found)) => match (shown.first(), found.first()) {
            (Some(shown), Some(found)) => differs(&format!("{at}/0"), shown, found),
            (Some(_), None) => Some(format!("{at}: it is empty")),
            (None, _) => None,
        },
        // What is left out, or may be missing.
        (Value::Null, _) | (_, Value::Null) => None,
        _ if std::mem::discriminant(shown) == std::mem::discriminant(found) => None,
        _ => Some(format!("{at}: {shown} is shown, {found} came")),
    }
}
