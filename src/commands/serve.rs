//! `tidegate serve`: starts, says where it is, and stops on a signal.

use super::{Exit, failed, start};
use crate::app::Welcome;
use crate::config::Config;
use crate::shutdown::Signals;

/// Runs the command.
pub async fn run(config: &Config) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    let app = match start(config, &mut signals).await {
        Ok(Some(app)) => app,
        Ok(None) => return failed(&"stopped while starting"),
        Err(error) => return failed(&error),
    };
    welcome(&app.welcome);
    if app.run(signals).await { Exit::Ok } else { Exit::Failed }
}

/// Printed on standard output, once, when requests are served; programs wait for its first line.
fn welcome(welcome: &Welcome) {
    let url = format!("http://{}", welcome.listen);
    println!("Tidegate is ready at {url}");
    println!("  console   {url}/");
    println!("  engine    {}", welcome.engine);
    let key = match &welcome.first_key {
        Some((tenant, key)) => {
            println!("  tenant    {tenant}");
            println!("  API key   {key}   (shown this once; more: tidegate keys create --org {tenant})");
            key.as_str()
        }
        None => "$TIDEGATE_KEY",
    };
    println!(
        "  try it    curl -sS {url}/v1/events -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\"
    );
    println!("              -d '{{\"event_type\":\"hello\",\"source_module\":\"shell\",\"payload\":{{\"n\":1}}}}'");
    println!("  psql      {}", welcome.psql);
}
