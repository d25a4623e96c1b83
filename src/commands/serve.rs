//! `tidegate serve`: starts, says where it is, and stops on a signal.

use super::instance::start;
use super::output::{Exit, failed, print};
use crate::app::{FirstKey, Welcome};
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
        Ok(app) => app,
        Err(exit) => return exit,
    };
    welcome(&app.welcome);
    if app.run(signals).await { Exit::Ok } else { Exit::Failed }
}

/// Said on standard output, once, when requests are served; programs wait for its first line, and may stop reading then.
fn welcome(welcome: &Welcome) {
    let url = &welcome.url;
    let mut lines = vec![
        format!("Tidegate is ready at {url}"),
        format!("  console   {url}/"),
        format!("  engine    {}", welcome.engine),
    ];
    let key = match &welcome.first_key {
        Some(FirstKey { tenant_id, text }) => {
            lines.push(format!("  tenant    {tenant_id}"));
            lines.push(format!("  API key   {text}   (shown this once; more: tidegate keys create --org {tenant_id})"));
            text.as_str()
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
