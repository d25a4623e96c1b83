//! `tidegate completions`.

use clap::CommandFactory;

use super::output::{Exit, print};

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Needs no configuration.
pub fn run(args: &Args) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::Cli::command(), "tidegate", &mut script);
    print(&script);
    Exit::Ok
}
