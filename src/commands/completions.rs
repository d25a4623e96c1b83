//! `tidegate completions`.

use super::output::{Exit, print};

/// Print a shell's completion script
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// Of the whole program; needs no configuration.
pub fn run(args: &Args, mut program: clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "tidegate", &mut script);
    print(&script);
    Exit::Ok
}
