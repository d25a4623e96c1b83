//! What this build is: a fault is looked for in the sources that it was made of.

/// The version, the commit, and what was compiled in. `unknown` is the commit of a build that is no release.
pub const BUILD: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit:   ",
    env!("TIDEGATE_COMMIT"),
    "\nbuild:    ",
    env!("TIDEGATE_PROFILE"),
    ", ",
    env!("TIDEGATE_TARGET"),
    ", ",
    env!("TIDEGATE_COMPILER"),
    "\nfeatures: embedded-postgresql, timescaledb, tls, http2, gzip, zstd, json-schema, jemalloc",
);
