//! `node.*`: how this node is called, and where other nodes reach it.

use hyper::Uri;

use super::error::ConfigError;
use super::value::ConfigReader;
use crate::limits::NODE_NAME_CHARS_MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// For people.
    pub name: String,
    /// `http://` or `https://`, host and port; None: others cannot ask this node.
    pub url: Option<String>,
}

impl NodeConfig {
    pub(super) fn read(read: &ConfigReader<'_>) -> Result<Self, ConfigError> {
        let refuse = |key: &str, what: &str| Err(ConfigError(format!("{}: {what}", read.whereabouts(key))));
        let name = if read.is_set("node.name") { read.text("node.name") } else { host() };
        let chars = name.chars().count();
        if chars == 0 || chars > NODE_NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return refuse("node.name", "must be a name of 1 to 100 characters, such as ingest-1");
        }
        let url = Some(read.text("node.url")).filter(|url| !url.is_empty());
        if url.as_ref().is_some_and(|url| !is_base(url)) {
            return refuse(
                "node.url",
                "must be a URL of scheme, host and port, such as http://10.0.0.5:8080, by which other nodes reach this one",
            );
        }
        Ok(Self { name, url: url.map(|url| url.trim_end_matches('/').to_owned()) })
    }
}

/// Without a user, a path, a query or a fragment.
fn is_base(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let plain = uri.authority().is_some_and(|authority| {
        let (host, text) = (authority.host(), authority.as_str());
        let port = text.strip_prefix(host).map(|rest| rest.strip_prefix(':').map_or(rest.is_empty(), is_port));
        !host.is_empty() && host.starts_with('[') == host.ends_with(']') && port == Some(true)
    });
    let is_bare = uri.path() == "/" && uri.query().is_none() && !url.contains('#');
    plain && is_bare && matches!(uri.scheme_str(), Some("http" | "https"))
}

/// One that can be connected to: another number would be taken for none, and the scheme's own port be asked.
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The name of this machine, as far as it has one that can be told.
fn host() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let name: String = name.unwrap_or_default().chars().filter(|c| !c.is_control()).take(NODE_NAME_CHARS_MAX).collect();
    if name.is_empty() { "tidegate".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use crate::config::{Config, Layers, Origin};

    #[test]
    fn names_and_urls() {
        let read = |key: &str, text: &str| {
            let mut layers = Layers::new();
            layers.set(key, text.into(), Origin::Default).unwrap();
            Config::from_layers(&layers).map(|config| config.node)
        };
        assert_eq!(read("node.name", "ingest-1").unwrap().name, "ingest-1");
        assert_eq!(read("node.url", "").unwrap().url, None);
        assert!(!read("node.url", "").unwrap().name.is_empty(), "the host's");
        for good in ["http://10.0.0.5:8080", "https://a.example/", "http://[::1]:80"] {
            let url = read("node.url", good).unwrap().url.unwrap();
            assert_eq!(url, good.trim_end_matches('/'));
        }
        for bad in [
            "10.0.0.5:8080",
            "ftp://a",
            "http://u:p@a",
            "http://a/b",
            "http://a/?b",
            "http://",
            "http://a:99999",
            "http://a:0",
            "http://a:",
            "http://a#b",
            "https://[::1",
        ] {
            let error = read("node.url", bad).unwrap_err().to_string();
            assert!(error.contains("node.url") && error.contains("such as http://"), "{bad}: {error}");
        }
        assert!(read("node.name", &"a".repeat(101)).is_err() && read("node.name", "a\nb").is_err());
    }
}
