//! The `tidegate` program: arguments, configuration, one command, exit code.

use std::process::ExitCode;

use clap::Parser;
use tidegate::cli::{Cli, Command};
use tidegate::commands::{self, Exit};
use tidegate::config::ConfigError;

fn main() -> ExitCode {
    // Usage errors end here with exit code 2.
    let cli = Cli::parse();
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("tidegate: {error}");
            Exit::BadConfiguration.into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit, ConfigError> {
    if let Command::Completions { shell } = cli.command {
        return Ok(commands::completions(shell));
    }
    let config = cli.settings.resolve()?;
    tidegate::telemetry::start_logging(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| ConfigError(format!("the async runtime could not start: {error}")))?;
    Ok(runtime.block_on(async {
        match cli.command {
            Command::Serve => commands::serve::run(&config).await,
            Command::Migrate { check, json } => commands::migrate::run(&config, check, json).await,
            Command::Doctor { json } => commands::doctor::run(&config, json).await,
            Command::Load(args) => commands::load::run(&config, args).await,
            Command::Demo { duration } => commands::demo::run(&config, duration).await,
            Command::Keys { action } => commands::keys::run(&config, action).await,
            Command::Orgs { action } => commands::orgs::run(&config, action).await,
            Command::Lifecycle { action } => commands::lifecycle::run(&config, action).await,
            Command::Completions { .. } => unreachable!("answered above, without a configuration"),
        }
    }))
}
