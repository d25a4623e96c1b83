//! `tidegate serve`: starts, says where it is, and stops on a signal.

use super::instance::start;
use super::output::{Exit, failed, print};
use crate::app::Welcome;
use crate::config::Config;
use crate::http::Tls;
use crate::shutdown::Signals;

/// Serve HTTP; with no database configured, on a private PostgreSQL
#[derive(Debug, clap::Args)]
pub struct Args {}

pub async fn run(config: &Config, _args: Args) -> Exit {
    // Before anything is touched.
    if let Some(Err(error)) = config.tls.as_ref().map(Tls::load) {
        eprintln!("tidegate: {error}");
        return Exit::BadConfiguration;
    }
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    let app = match start(config, &mut signals).await {
        Ok(Some(app)) => app,
        Ok(None) => return failed(&"stopped while starting"),
        Err(error) => return failed(&error),
    };
    // Only now: a key that nobody was shown would be lost.
    match app.first_key().await {
        Ok(first_key) => welcome(&app.welcome, first_key.as_ref()),
        Err(error) => {
            app.stop().await;
            return failed(&error);
        }
    }
    if app.run(signals).await { Exit::Ok } else { Exit::Failed }
}

/// Said on standard output, once, when requests are served; programs wait for its first line, and may stop reading then.
fn welcome(welcome: &Welcome, first_key: Option<&(String, String)>) {
    let url = &welcome.url;
    let mut lines = vec![
        format!("Tidegate is ready at {url}"),
        format!("  console   {url}/"),
        format!("  engine    {}", welcome.engine),
    ];
    let key = match first_key {
        Some((tenant, key)) => {
            lines.push(format!("  tenant    {tenant}"));
            lines.push(format!("  API key   {key}   (shown this once; more: tidegate keys create --org {tenant})"));
            key.as_str()
        }
        None => {
            lines.push(
                "  keys      the first was shown at the first start; another: tidegate keys create --org NAME".into(),
            );
            "$TIDEGATE_KEY"
        }
    };
    // Double quotes, so that the shell fills the variable in.
    lines.push(format!(
        "  try it    curl -sS {url}/v1/events -H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json' \\"
    ));
    lines
        .push("              -d '{\"event_type\":\"hello\",\"source_module\":\"shell\",\"payload\":{\"n\":1}}'".into());
    lines.push(format!("  psql      {}\n", welcome.psql));
    print(lines.join("\n").as_bytes());
}
