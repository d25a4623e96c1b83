//! The commands, one file each: its arguments, what it prints, how it exits. The work is done by the modules that they call.

mod accept_database;
mod audit;
mod backup;
mod beside_rows;
mod completions;
mod database;
mod dead_letters;
mod demo;
mod doctor;
mod erase;
mod erase_events;
mod groups;
mod instance;
mod keys;
mod lifecycle;
mod load;
mod logins;
mod migrate;
mod nodes;
mod orgs;
mod output;
mod query;
mod readers;
mod rebuild;
mod relocate;
mod schema;
mod serve;
mod server;
mod sessions;
mod sinks;
mod spool;
mod streams;
mod tail;
mod transferred;
mod upgrade;
mod usage;
mod users;
mod values;

pub use output::Exit;

use crate::config::{Config, ConfigError};

/// Makes the commands of a list: name, and the module with its `Args` and `run`.
macro_rules! commands {
    ($($name:ident => $module:ident,)+) => {
        #[derive(Debug, clap::Subcommand)]
        pub enum Command {
            Serve(serve::Args),
            $($name($module::Args),)+
            Completions(completions::Args),
        }

        impl Command {
            /// Runs it with the configuration, which not every command needs, and `serve` reads again; `program` is all
            /// that can be said.
            pub async fn run(
                self,
                config: impl Fn() -> Result<Config, ConfigError>,
                program: clap::Command,
            ) -> Result<Exit, ConfigError> {
                Ok(match self {
                    Self::Serve(args) => serve::run(&config()?, args, &config).await,
                    $(Self::$name(args) => $module::run(&config()?, args).await,)+
                    Self::Completions(args) => completions::run(&args, program),
                })
            }
        }
    };
}

commands! {
    Migrate => migrate,
    Doctor => doctor,
    Load => load,
    Demo => demo,
    Keys => keys,
    Orgs => orgs,
    Users => users,
    Sessions => sessions,
    Readers => readers,
    Nodes => nodes,
    Lifecycle => lifecycle,
    DeadLetters => dead_letters,
    Spool => spool,
    Streams => streams,
    Groups => groups,
    Sinks => sinks,
    Tail => tail,
    Query => query,
    Rebuild => rebuild,
    Schema => schema,
    AcceptDatabase => accept_database,
    Audit => audit,
    Usage => usage,
    Backup => backup,
    Move => relocate,
    Upgrade => upgrade,
}
