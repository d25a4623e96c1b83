//! The `tidegate` program: arguments, configuration, one command, exit code.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tidegate::cli::{Cli, Settings};
use tidegate::commands::{Command, Exit};
use tidegate::config::{Config, ConfigError};

/// A quiet process gives back what a busy one took: its threads look after that in the background.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Usage errors end here with exit code 2.
    let Cli { settings, command } = Cli::parse();
    match run(&settings, command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("tidegate: {error}");
            Exit::BadConfiguration.into()
        }
    }
}

fn run(settings: &Settings, command: Command) -> Result<Exit, ConfigError> {
    let configure = || -> Result<Config, ConfigError> {
        let config = settings.resolve()?;
        tidegate::telemetry::start_logging(&config.log)?;
        Ok(config)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| ConfigError(format!("the async runtime could not start: {error}")))?;
    runtime.block_on(command.run(configure, Cli::command()))
}
