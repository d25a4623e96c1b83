//! What of the pages no test runs, and why.

/// Page, how the command begins, why it is not run. One that no page has fails the test.
pub const LEFT_OUT: &[(&str, &str, &str)] = &[
    ("README.md", "make run", "builds the program, and serves until it is stopped: the test serves"),
    ("README.md", "make test", "would run the tests in a test"),
    ("docs/QUICKSTART.md", "deploy/make-secrets", "`deploy::compose_is_whole` runs it, in a folder of its own"),
    ("docs/QUICKSTART.md", "docker compose up", "needs a container engine, and images from a registry"),
    ("docs/QUICKSTART.md", "docker compose logs", "the same"),
    (
        "docs/QUICKSTART.md",
        "TIDEGATE_DATABASE_URL=",
        "a server and a password that are not there; serves until it is stopped",
    ),
    (
        "docs/OPERATIONS.md",
        "CREATE ROLE tidegate_owner",
        "for a superuser of an empty server: here its roles are there",
    ),
    ("docs/OPERATIONS.md", "export TIDEGATE_DATABASE_URL=", "a server and a password that are not there"),
    ("docs/OPERATIONS.md", "export TIDEGATE_WRITER_URL=", "the same"),
    ("docs/OPERATIONS.md", "export TIDEGATE_READER_URL=", "the same"),
    ("docs/OPERATIONS.md", "tidegate migrate && tidegate doctor", "serves until it is stopped"),
    ("docs/OPERATIONS.md", "pg_dumpall", "an old and a new server: scenario 48 of `tests/faults` does it"),
    ("docs/OPERATIONS.md", "pg_dump -Fc", "the same"),
    ("docs/OPERATIONS.md", "psql -d", "the same"),
    ("docs/OPERATIONS.md", "pg_restore", "the same"),
    (
        "docs/OPERATIONS.md",
        "tidegate dead-letters replay \"$id\"",
        "nothing has mended what refused it: `dead_letters::` replays",
    ),
    (
        "docs/OPERATIONS.md",
        "tidegate backup restore --into NEW_DATA_DIR --to",
        "a moment that is in no archive of the test: `backups::` goes to one",
    ),
    ("docs/OPERATIONS.md", "tidegate backup restore --into-url-file", "a dump, of a server of one's own: `backups::`"),
    (
        "docs/OPERATIONS.md",
        "tidegate orgs erase acme-inc --yes",
        "only of an organization that has been deactivated for a while: `erase::`",
    ),
    ("docs/COMMANDS.md", "tidegate move --to-file", "an embedded server that is stopped, and another one: `moves::`"),
    ("docs/COMMANDS.md", "tidegate upgrade", "a second installation of PostgreSQL: `moves::`"),
    ("docs/OPERATIONS.md", "CREATE DATABASE", "for a superuser of the server that is moved to: `moves::`"),
    ("docs/OPERATIONS.md", "tidegate move --to-file", "an embedded server that is stopped, and another one: `moves::`"),
    ("docs/OPERATIONS.md", "tidegate serve", "serves until it is stopped: the test serves"),
    ("docs/OPERATIONS.md", "tidegate upgrade", "a second installation of PostgreSQL: `moves::`"),
    ("docs/EVENTS.md", "CREATE EXTENSION vector", "needs pgvector, and a view that is made again by hand"),
    ("docs/HTTP.md", "curl -sSN", "goes on until the server stops: `streams::` reads Server-Sent Events"),
    ("docs/PERFORMANCE.md", "make run", "builds the program, and serves until it is stopped"),
    ("docs/PERFORMANCE.md", "URL=http", "needs k6, and loads the machine for minutes"),
    ("docs/PERFORMANCE.md", "K6_NO_USAGE_REPORT", "the same"),
];

/// Page, words of the command, why its answer may be empty.
pub const EMPTY: &[(&str, &str, &str)] = &[
    ("docs/COMMANDS.md", "tidegate spool list", "nothing is in the quarantine of a server that is well"),
    ("docs/OPERATIONS.md", "tidegate spool list", "the same"),
];
