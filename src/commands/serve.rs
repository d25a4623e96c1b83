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

/// Printed on standard output, once, when requests are served; programs wait for its first line.
fn welcome(welcome: &Welcome, first_key: Option<&(String, String)>) {
    let url = format!("http://{}", welcome.listen);
    println!("Tidegate is ready at {url}");
    println!("  console   {url}/");
    println!("  engine    {}", welcome.engine);
    let key = match first_key {
        Some((tenant, key)) => {
            println!("  tenant    {tenant}");
            println!("  API key   {key}   (shown this once; more: tidegate keys create --org {tenant})");
            key.as_str()
        }
        None => {
            println!("  keys      the first was shown at the first start; another: tidegate keys create --org NAME");
            "$TIDEGATE_KEY"
        }
    };
    // Double quotes, so that the shell fills the variable in.
    println!(
        "  try it    curl -sS {url}/v1/events -H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json' \\"
    );
    println!("              -d '{{\"event_type\":\"hello\",\"source_module\":\"shell\",\"payload\":{{\"n\":1}}}}'");
    println!("  psql      {}", welcome.psql);
}
