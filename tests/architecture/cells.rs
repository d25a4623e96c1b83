//! What works in a cell of Citus names no relation of all cells: by its schema each is found through Citus, with every tenant's rows.

use super::source::{code, files, root, sources};

/// Rooms whose statements run in cells.
const ROOMS: [&str; 11] = [
    "processor",
    "projections",
    "inferred",
    "streams",
    "correlate",
    "rollup",
    "jobs",
    "groups",
    "query",
    "ingest",
    "lifecycle",
];
/// Statements for the coordinator, or for databases without cells.
const BESIDE: [&str; 8] = [
    "erase_pieces.sql",
    "erase_pieces_coordinator.sql",
    "identity.sql",
    "node_beat.sql",
    "node_list.sql",
    "node_tidy.sql",
    "sinks_list.sql",
    "tenant_views.sql",
];

fn names_one(text: &str) -> bool {
    ["FROM", "INTO", "UPDATE", "JOIN"].iter().any(|word| text.contains(&format!("{word} tidegate.")))
        || text.contains("\"tidegate\"")
}

#[test]
fn what_works_in_cells_names_no_relation_of_all_cells() {
    let (src, queries) = (root().join("src"), root().join("sql/queries"));
    let in_cells = |path: &std::path::PathBuf| {
        let room = path.strip_prefix(&src).ok().and_then(|inner| inner.iter().next());
        ROOMS.iter().any(|name| room.is_some_and(|room| room == *name))
    };
    let rooms =
        sources().into_iter().filter(in_cells).filter(|path| names_one(&code(&std::fs::read_to_string(path).unwrap())));
    let is_beside = |path: &std::path::PathBuf| BESIDE.iter().any(|name| path.ends_with(name));
    let statements =
        files(&queries, "sql").into_iter().filter(|path| names_one(&std::fs::read_to_string(path).unwrap()));
    let found: Vec<String> =
        rooms.chain(statements.filter(|path| !is_beside(path))).map(|path| path.display().to_string()).collect();
    assert!(found.is_empty(), "name them without the schema: {found:#?}");
}

#[test]
fn such_names_are_seen() {
    assert!(names_one("INSERT INTO tidegate.events") && names_one("Self::Live => \"tidegate\","));
    assert!(!names_one("SELECT tidegate.metric_series_id(dimensions) FROM metrics"));
}
