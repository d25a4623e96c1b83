#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use super::value::{parse_bytes, parse_duration};
use super::{Config, EngineChoice, KEYS, Layers, Origin};

fn with_file(text: &str) -> (tempfile::TempDir, Result<Layers, super::ConfigError>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tidegate.toml");
    std::fs::write(&path, text).unwrap();
    let mut layers = Layers::new();
    let result = layers.file(&path, true).map(|_| layers);
    (dir, result)
}

#[test]
fn defaults_are_valid_and_as_documented() {
    let config = Config::from_layers(&Layers::new()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.batch.rows, 1000);
    assert_eq!(config.batch.bytes, 4 << 20);
    assert_eq!(config.batch.linger, Duration::from_millis(5));
    assert_eq!(config.limits.body_bytes, 16 << 20);
    assert_eq!(config.limits.memory_bytes, 128 << 20);
    assert!(config.spool.enabled);
    assert_eq!(config.spool.max_bytes, 4 << 30);
    assert_eq!(config.retention.events, Duration::from_secs(365 * 86_400));
    assert_eq!(config.retention.ledger, Duration::from_secs(72 * 3600));
    assert_eq!(config.database.engine, EngineChoice::Auto);
    let processors = std::thread::available_parallelism().map_or(4, usize::from);
    assert_eq!(config.database.writers, processors.clamp(2, 8));
    let (_dir, layers) = with_file("database_url = \"postgres://u@h/d\"\n");
    assert_eq!(Config::from_layers(&layers.unwrap()).unwrap().database.writers, 4);
}

#[test]
fn file_then_environment_then_flag() {
    let (_dir, layers) = with_file("engine = \"postgres\"\nwriters = 2\n[batch]\nrows = 10\n");
    let mut layers = layers.unwrap();
    let unknown = layers
        .environment(
            [("TIDEGATE_WRITERS", "3"), ("TIDEGATE_BATCH_ROWS", "20"), ("TIDEGATE_OTHER_THING", "1"), ("HOME", "/")]
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
        .unwrap();
    layers.set("batch.rows", "30".into(), Origin::Flag("--set".into())).unwrap();
    let config = Config::from_layers(&layers).unwrap();
    assert_eq!(config.database.engine, EngineChoice::Postgres);
    assert_eq!(config.database.writers, 3);
    assert_eq!(config.batch.rows, 30);
    assert_eq!(unknown, ["TIDEGATE_OTHER_THING"]);
}

#[test]
fn listen_takes_addresses_and_names() {
    let listen = |text: &str| {
        let mut layers = Layers::new();
        layers.set("listen", text.into(), Origin::Default).unwrap();
        Config::from_layers(&layers).map(|config| config.listen.to_string())
    };
    for good in ["127.0.0.1:0", "localhost:8080", "[::1]:8080", "[::]:1", "gateway-1.internal_net:65535"] {
        assert_eq!(listen(good).unwrap(), good);
    }
    for bad in
        [":8080", "8080", "localhost", "localhost:70000", "::1:8080", "[localhost]:1", "a b:1", "http://a:1", "a/b:1"]
    {
        assert!(listen(bad).unwrap_err().to_string().contains("localhost:8080"), "{bad}");
    }
}

#[test]
fn origins_are_whole() {
    let origins = super::CorsOrigins::parse;
    assert!(origins("https://A.example, http://localhost:3000").unwrap().have("https://a.example"));
    for bad in ["a.example", "https://a.example/", "https://", "ftp://a", "*, https://a", "https://*.example", "null"] {
        assert!(origins(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_error_names_key_file_and_line() {
    let (_dir, layers) = with_file("# a comment\n[batch]\nrows = \"many\"\n");
    let message = Config::from_layers(&layers.unwrap()).unwrap_err().to_string();
    assert!(message.contains("`batch.rows`") && message.contains("tidegate.toml line 3"), "{message}");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_a_hint() {
    let (_dir, layers) = with_file("writers = 4\nbatch.row = 5\n");
    let message = layers.unwrap_err().to_string();
    assert!(message.contains("line 2") && message.contains("did you mean `batch.rows`"), "{message}");
}

#[test]
fn broken_toml_names_its_line() {
    let (_dir, layers) = with_file("writers = 4\nlisten = \n");
    assert!(layers.unwrap_err().to_string().contains("line 2"));
}

#[test]
fn a_bad_variable_is_named_and_a_url_is_never_repeated() {
    let mut layers = Layers::new();
    let url = ("TIDEGATE_DATABASE_URL".to_owned(), "postgres://u:hunter2@h:notaport/x".to_owned());
    layers.environment([url].into_iter()).unwrap();
    let message = Config::from_layers(&layers).unwrap_err().to_string();
    assert!(message.contains("TIDEGATE_DATABASE_URL") && !message.contains("hunter2"), "{message}");
}

#[test]
fn too_many_chunks_are_refused() {
    let mut layers = Layers::new();
    layers.set("chunk_interval", "1h".into(), Origin::Flag("--set".into())).unwrap();
    let message = Config::from_layers(&layers).unwrap_err().to_string();
    assert!(message.contains("8928 chunks"), "{message}");
}

#[test]
fn memory_must_hold_a_body_three_times() {
    let mut layers = Layers::new();
    layers.set("limits.memory_bytes", "32MiB".into(), Origin::Flag("--set".into())).unwrap();
    assert!(Config::from_layers(&layers).unwrap_err().to_string().contains("limits.memory_bytes"));
}

#[test]
fn a_tenants_share_holds_a_request_and_leaves_room() {
    let with = |settings: &[(&str, &str)]| {
        let mut layers = Layers::new();
        for (key, value) in settings {
            layers.set(key, (*value).to_owned(), Origin::Flag("--set".into())).unwrap();
        }
        Config::from_layers(&layers).map(|config| config.limits.tenant_memory_bytes).map_err(|error| error.to_string())
    };
    const SHARE: &str = "limits.tenant_memory_bytes";
    assert_eq!(with(&[]), Ok(64 << 20));
    assert_eq!(with(&[(SHARE, "100MiB")]), Ok(100 << 20));
    assert_eq!(with(&[("limits.memory_bytes", "48MiB")]), Ok(48 << 20), "one request may take all of it");
    for share in ["47MiB", "129MiB", "0"] {
        assert!(with(&[(SHARE, share)]).unwrap_err().contains(SHARE), "{share}");
    }
}

#[test]
fn the_spool_must_hold_a_few_bodies_or_be_off() {
    let mut layers = Layers::new();
    layers.set("spool.max_bytes", "63MiB".into(), Origin::Flag("--set".into())).unwrap();
    let message = Config::from_layers(&layers).unwrap_err().to_string();
    assert!(message.contains("spool.max_bytes") && message.contains("16777216"), "{message}");
    layers.set("spool.enabled", "false".into(), Origin::Flag("--set".into())).unwrap();
    assert!(!Config::from_layers(&layers).unwrap().spool.enabled);
    layers.set("spool.enabled", "yes".into(), Origin::Flag("--set".into())).unwrap();
    assert!(Config::from_layers(&layers).unwrap_err().to_string().contains("true, false"));
}

#[test]
fn durations_and_sizes() {
    assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(parse_duration("72h"), Ok(Duration::from_secs(259_200)));
    assert!(parse_duration("5 weeks").is_err() && parse_duration("").is_err() && parse_duration("-1s").is_err());
    assert_eq!(parse_bytes("64KiB"), Ok(65_536));
    assert!(parse_bytes("64kb").is_err() && parse_bytes("99999999999GiB").is_err());
}

#[test]
fn every_key_has_a_distinct_variable() {
    let mut names: Vec<String> = KEYS.iter().map(super::keys::ConfigKey::variable).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), KEYS.len());
}

/// Every way in which a layer can spell a key.
fn layers_with(key: &super::ConfigKey, value: &str) -> Vec<(String, Layers)> {
    let (parents, name) = key.path.rsplit_once('.').map_or((None, key.path), |(parents, name)| (Some(parents), name));
    let table = parents.map_or(String::new(), |parents| format!("[{parents}]\n"));
    let inline = key.path.split('.').rev().fold(format!("\"{value}\""), |inner, name| match inner.as_str() {
        text if text.starts_with('"') => format!("{name} = {text}"),
        text => format!("{name} = {{ {text} }}"),
    });
    let mut files = vec![format!("{} = \"{value}\"\n", key.path), format!("{table}{name} = \"{value}\"\n"), inline];
    // As TOML has it without quotes.
    if value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok() {
        files.push(format!("{table}{name} = {value}\n"));
    }
    let mut all: Vec<(String, Layers)> = files
        .into_iter()
        .map(|text| {
            let (_folder, layers) = with_file(&text);
            (text.clone(), layers.unwrap_or_else(|error| panic!("{text}: {error}")))
        })
        .collect();
    let mut layers = Layers::new();
    let unknown = layers.environment([(key.variable(), value.to_owned())].into_iter()).unwrap();
    assert!(unknown.is_empty(), "{unknown:?}");
    all.push((key.variable(), layers));
    let mut layers = Layers::new();
    layers.set(key.path, value.into(), Origin::Flag("--set".into())).unwrap();
    all.push((format!("--set {}", key.path), layers));
    all
}

/// Sets what must be set together with a key.
fn complete(layers: &mut Layers, key: &super::ConfigKey) {
    let together: &[(&str, &str)] = match key.path {
        "writer_url" | "reader_url" => &[("database_url", "postgres://u@h/d")],
        "tls.cert" => &[("tls.key", "file.pem")],
        "tls.key" => &[("tls.cert", "file.pem")],
        "syslog.listen" => &[("syslog.key", "tg_key")],
        _ => &[],
    };
    for (path, value) in together {
        layers.set(path, (*value).to_owned(), Origin::Default).unwrap();
    }
}

/// A value that is right: the default, or the first of these that is taken.
fn right(key: &super::ConfigKey) -> &'static str {
    let taken = |value: &&str| {
        let mut layers = Layers::new();
        layers.set(key.path, (*value).to_owned(), Origin::Flag("--set".into())).unwrap();
        complete(&mut layers, key);
        Config::from_layers(&layers).is_ok()
    };
    let tried =
        ["postgres://u@h/d", "100MiB", "90d", "5m,1h,1d", "7", "true", "json", "file.pem", "https://h", "0.0.0.0:6514"];
    key.default.or_else(|| tried.into_iter().find(taken)).unwrap_or_else(|| panic!("{}: a value for it here", key.path))
}

/// Keys whose value may be any text.
const ANY_TEXT: [&str; 7] =
    ["backup.dir", "data_dir", "node.name", "tls.cert", "tls.key", "syslog.key", "syslog.stream"];

/// The right value is taken in every spelling, and a wrong one refused by the key's name: one that nobody reads would pass both.
#[test]
fn every_key_is_read_in_every_layer() {
    for key in KEYS.iter() {
        let right = right(key);
        for (spelling, mut layers) in layers_with(key, right) {
            assert_eq!(layers.get(key.path).map(|(text, _)| text), Some(right), "{spelling}");
            complete(&mut layers, key);
            Config::from_layers(&layers).unwrap_or_else(|error| panic!("{spelling}: {error}"));
        }
        if ANY_TEXT.contains(&key.path) {
            continue;
        }
        for (spelling, layers) in layers_with(key, "!") {
            let error = Config::from_layers(&layers).expect_err(&spelling).to_string();
            assert!(error.contains(&format!("`{}`", key.path)), "{spelling}: {error}");
        }
    }
}

#[test]
fn an_empty_value_takes_a_key_back_to_its_default() {
    for key in KEYS.iter() {
        let (_folder, layers) = with_file(&format!("{} = \"{}\"\n", key.path, right(key)));
        let mut layers = layers.unwrap();
        layers.environment([(key.variable(), String::new())].into_iter()).unwrap();
        assert_eq!(layers.get(key.path), None, "{}", key.path);
    }
    let (_folder, layers) = with_file("rollups.levels = \"1h\"\n");
    let mut layers = layers.unwrap();
    let kept = |layers: &Layers| {
        let config = Config::from_layers(layers).unwrap();
        crate::model::LEVELS.iter().filter(|level| *config.rollups.of(level)).count()
    };
    assert!(kept(&layers) < crate::model::LEVELS.len());
    layers.set("rollups.levels", String::new(), Origin::Flag("--set".into())).unwrap();
    assert_eq!(kept(&layers), crate::model::LEVELS.len());
}

#[test]
fn a_level_that_is_none_is_refused() {
    let with = |level: &str| {
        let mut layers = Layers::new();
        layers.set("log.level", level.into(), Origin::Variable("TIDEGATE_LOG_LEVEL".into())).unwrap();
        Config::from_layers(&layers).map(|config| config.log.level).map_err(|error| error.to_string())
    };
    for level in ["info", "WARN", "off", "info,hyper=debug", "tidegate=trace, warn"] {
        assert_eq!(with(level).as_deref(), Ok(level));
    }
    for (level, word) in [("inof", "inof"), ("info,tidegate", "tidegate"), ("warning", "warning"), ("info,", "")] {
        let error = with(level).expect_err(level);
        assert!(error.contains("log.level") && error.contains(&format!("`{word}`")), "{error}");
    }
}

#[test]
fn what_would_lead_to_another_database_is_refused() {
    let set = |name: &str| Layers::new().environment([(name.to_owned(), "postgres://h/d".to_owned())].into_iter());
    assert!(set("TIDEGATE_DATABSE_URL").unwrap_err().to_string().contains("did you mean TIDEGATE_DATABASE_URL"));
    let mut layers = Layers::new();
    layers.set("writer_url", "postgres://h/d".into(), Origin::Flag("--set".into())).unwrap();
    let message = Config::from_layers(&layers).unwrap_err().to_string();
    assert!(message.contains("writer_url") && message.contains("database_url"), "{message}");
}

#[test]
fn durations_beyond_a_century_are_refused() {
    let mut layers = Layers::new();
    layers.set("retention.dead_letters", "9999999999d".into(), Origin::Flag("--set".into())).unwrap();
    assert!(Config::from_layers(&layers).unwrap_err().to_string().contains("36500d"));
}

#[test]
fn every_secret_is_taken_from_a_file_in_every_layer() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "hunter2\n").unwrap();
    let secret = secret.to_str().unwrap();
    let secrets: Vec<_> = KEYS.iter().filter(|key| key.secret).collect();
    assert!(secrets.iter().any(|key| key.path == "database_url") && secrets.len() >= 3);
    for key in secrets {
        let set = |layers: &Layers| layers.get(key.path).map(|(text, origin)| (text.to_owned(), origin.to_string()));
        let (path, variable) = (format!("{}_file", key.path), format!("{}_FILE", key.variable()));
        let (_folder, layers) = with_file(&format!("{path} = \"{secret}\"\n"));
        let mut layers = layers.unwrap();
        let (text, origin) = set(&layers).unwrap();
        assert!(text == "hunter2" && origin.contains(secret) && origin.contains("tidegate.toml line 1"), "{origin}");
        // The next layer wins.
        let unknown = layers.environment([(variable.clone(), secret.to_owned())].into_iter()).unwrap();
        assert!(unknown.is_empty() && set(&layers).unwrap().1.contains(&variable), "{unknown:?}");
        layers.set(key.path, "plain".into(), Origin::Flag("--set".into())).unwrap();
        assert_eq!(set(&layers).unwrap().0, "plain");
        layers.set(&path, secret.into(), Origin::Flag("--set".into())).unwrap();
        assert_eq!(set(&layers).unwrap().0, "hunter2");
        // Within a layer nobody wins.
        let (_folder, both) = with_file(&format!("{} = \"a\"\n{path} = \"{secret}\"\n", key.path));
        let message = both.unwrap_err().to_string();
        assert!(message.contains("line 1") && message.contains("line 2") && !message.contains("hunter2"), "{message}");
    }
    let (_folder, none) = with_file("engine_file = \"/x\"\n");
    assert!(none.unwrap_err().to_string().contains("unknown configuration key"));
}
