//! Secrets out of files: `_FILE` variables, keys with `_file`, systemd's credentials.

use std::path::Path;

use crate::env::{Env, Test, TestResult};
use crate::process::{Finished, Tidegate};
use crate::samples::event;
use crate::tests;

pub const TESTS: &[Test] = tests!(postgres:
    urls_come_from_files,
    the_keys_of_load_come_from_files,
    what_is_given_twice_or_cannot_be_read_is_refused,
    keys_are_kept_nowhere,
);

fn save(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// One URL each by variable, by file of configuration and by credential.
fn urls_come_from_files(env: &Env) -> TestResult {
    let [database, writer, reader] = <[(String, String); 3]>::try_from(env.variables()).unwrap().map(|(_, url)| url);
    let credentials = env.path().join("credentials");
    std::fs::create_dir(&credentials)?;
    save(&credentials, "reader_url", &format!("{reader}\n"));
    let writer = save(env.path(), "writer", &format!("{writer}\r\n"));
    save(env.path(), "tidegate.toml", &format!("writer_url_file = \"{writer}\"\n"));
    let variables = [
        ("TIDEGATE_DATABASE_URL_FILE".to_owned(), save(env.path(), "database", &database)),
        ("CREDENTIALS_DIRECTORY".to_owned(), credentials.display().to_string()),
    ];
    let tidegate = Tidegate::serve(env, &variables, &[]);
    tidegate.client.post("/v1/events", &[], event(0)).accepted(1, 0);
    let users = "SELECT string_agg(DISTINCT usename || ':' || application_name, ' ' ORDER BY usename || ':' || application_name) \
                 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidegate %'";
    let users: String = env.sql().one(users);
    for user in ["tidegate_owner:tidegate owner", "tidegate_writer:tidegate writer", "tidegate_reader:tidegate reader"]
    {
        assert!(users.contains(user), "{users}");
    }
    Ok(())
}

fn the_keys_of_load_come_from_files(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let (other, url) = (env.key("other", "ingest"), tidegate.client.url());
    let keys = save(env.path(), "keys", &format!("{}\n{}\n", tidegate.client.key(), other.text));
    let arguments = ["load", "--url", &url, "--duration", "1s", "--batch", "10", "--rate", "1000", "--json"];
    let load = |more: (&str, &str)| {
        let mut variables = env.variables();
        variables.push((more.0.to_owned(), more.1.to_owned()));
        Finished::run(env, &variables, &arguments)
    };
    assert!(load(("TIDEGATE_KEY_FILE", &keys)).json()["committed"].as_u64() > Some(0));
    let tenants: i64 = env.sql().one("SELECT count(DISTINCT tenant_id) FROM events");
    assert_eq!(tenants, 2);
    let credentials = env.path().join("credentials");
    std::fs::create_dir(&credentials)?;
    std::fs::rename(&keys, credentials.join("key"))?;
    assert!(load(("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())).json()["committed"].as_u64() > Some(0));
    let missing = load(("TIDEGATE_KEY_FILE", &keys));
    assert!(missing.code == Some(64) && missing.stderr.contains(&keys), "{missing:?}");
    assert!(missing.stderr.contains("TIDEGATE_KEY_FILE"), "{missing:?}");
    Ok(())
}

fn what_is_given_twice_or_cannot_be_read_is_refused(env: &Env) -> TestResult {
    let file = save(env.path(), "secret", "postgres://u:hunter2@h/d\n");
    let empty = save(env.path(), "empty", "\n");
    let folder = env.path().display().to_string();
    for name in ["TIDEGATE_DATABASE_URL", "TIDEGATE_WRITER_URL", "TIDEGATE_READER_URL"] {
        let by_file = format!("{name}_FILE");
        for (path, word) in
            [("/nowhere/secret", "cannot be read"), (empty.as_str(), "is empty"), (folder.as_str(), "cannot be read")]
        {
            let finished = Finished::run(env, &[(by_file.clone(), path.to_owned())], &["migrate"]);
            assert_eq!(finished.code, Some(64), "{finished:?}");
            for word in [&by_file, path, word] {
                assert!(finished.stderr.contains(word), "{word}: {finished:?}");
            }
        }
        let both = [(name.to_owned(), "postgres://u:hunter2@h/d".to_owned()), (by_file.clone(), file.clone())];
        let finished = Finished::run(env, &both, &["migrate"]);
        assert_eq!(finished.code, Some(64), "{finished:?}");
        for word in [format!("variable {name} "), format!("variable {by_file}")] {
            assert!(finished.stderr.contains(&word), "{word}: {finished:?}");
        }
        assert!(!finished.stderr.contains("hunter2"), "{finished:?}");
        let mistyped = Finished::run(env, &[(format!("{name}_FIEL"), file.clone())], &["migrate"]);
        assert!(mistyped.code == Some(64) && mistyped.stderr.contains(&by_file), "{mistyped:?}");
    }
    Ok(())
}

/// An API key in a place of its own or of others is kept in no dead letter, and answered to nobody.
fn keys_are_kept_nowhere(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let key = env.key("other", "ingest").text;
    let event = |members: &str| format!(r#"{{"event_type":"t","source_module":"s","payload":{{}},{members}}}"#);
    let secret = &key[36..];
    for item in [
        event(&format!(r#""timestamp":"{key}""#)),
        event(&format!(r#""event_version":"{key}""#)),
        event(&format!(r#""severity":"{}""#, key.repeat(3))),
        format!(r#"{{"authorization":"Bearer {key}"}}"#),
        format!("not JSON, and {key}"),
    ] {
        let refused = tidegate.client.events(&item);
        assert!(matches!(refused.status, 400 | 422) && !refused.text().contains(secret), "{refused:?}");
    }
    let listed = tidegate.client.get("/v1/dead-letters").expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 5, "{listed}");
    assert!(!listed.to_string().contains(secret) && listed.to_string().contains("tg_..."), "{listed}");
    let kept: i64 = env.sql().one(&format!(
        "SELECT count(*) FROM dead_letter_events WHERE position('{secret}'::bytea IN raw) > 0 OR reason LIKE '%{secret}%'"
    ));
    assert_eq!(kept, 0);
    for (name, value) in [("ce-id", key.clone()), ("ce-time", key.to_uppercase()), ("ce-mine", format!("x{key}"))] {
        let required = [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "s")];
        let headers = [&required[..], &[(name, value.as_str())]].concat();
        let refused = tidegate.client.post("/v1/events", &headers, "{}");
        refused.problem(400, "invalid_header");
        assert!(refused.text().contains(name) && !refused.text().to_lowercase().contains(secret), "{refused:?}");
    }
    assert_eq!(env.sql().count("dead_letter_events"), 5);
    Ok(())
}
