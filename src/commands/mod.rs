//! The subcommands: their arguments and what they print.
pub mod load;
