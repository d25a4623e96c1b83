//! What docs/SCALING.md says, computed: `cargo run --example scaling` prints its tables.
//!
//! From points that were measured (`points.toml`) it makes a model of what an event costs a node and a database, says
//! how far that is from points that it was not made of, and what a number of events a day needs of it.
//! `tests/scaling.rs` runs its tests, and compares the page with what it prints.

mod model;
mod plan;
mod points;

use std::fmt::Write;

use model::{ERROR_MAX, Model, checks};
use plan::{Layout, Plan, connections, plan, us};
use points::{Engine, Points};

/// 8.64 billion events a day, and ten times that.
const RATES: [(&str, f64); 2] = [("8.64 billion a day", 100_000.0), ("86.4 billion a day", 1_000_000.0)];
const COUNTS: [f64; 3] = [1.0, 2.0, 4.0];

fn main() {
    print!("{}", report(&Points::read()));
}

/// All tables, in Markdown.
pub fn report(points: &Points) -> String {
    let model = Model::of(points);
    let mut text = String::new();
    for section in [costs, judged, throughput, measured, needs, breaks, connected] {
        section(&mut text, points, &model).expect("writing to a String cannot fail");
    }
    text
}

fn costs(text: &mut String, points: &Points, model: &Model) -> std::fmt::Result {
    writeln!(text, "### What an event costs\n")?;
    writeln!(text, "| us of processor | an event | a request | a transaction | what lasts |\n|---|---|---|---|---|")?;
    let mut line = |name: &str, terms: model::Terms, lasts: f64| {
        writeln!(text, "| {name} | {:.2} | {:.1} | {:.0} | {lasts:.2} |", terms.event, terms.request, terms.batch)
    };
    line("node", model.node, 0.0)?;
    for engine in Engine::ALL {
        line(&format!("PostgreSQL, {}", engine.name()), model.database(engine), model.standing_of(engine))?;
    }
    let assumed = &points.assumed;
    writeln!(
        text,
        "\nWith {} events a request, {} a transaction, all rollups and {} group that reads everything:\n",
        assumed.request, assumed.batch, assumed.groups
    )?;
    writeln!(text, "| layout | us of a node | us of PostgreSQL |\n|---|---|---|")?;
    for layout in Layout::ALL {
        let us = us(points, model, layout);
        writeln!(text, "| {} | {:.2} | {:.2} |", layout.name(), us.node, us.database)?;
    }
    writeln!(text)
}

fn judged(text: &mut String, points: &Points, model: &Model) -> std::fmt::Result {
    let checks = checks(points, model);
    let judged = checks.iter().filter(|check| check.not_judged.is_none());
    let worst = judged.map(|check| check.error().abs()).fold(0.0, f64::max);
    writeln!(text, "### How far the model is off\n")?;
    writeln!(
        text,
        "Points that it was not made of; the farthest of those that are judged is {:.0} % off, and {:.0} % is what a test allows.\n",
        worst * 100.0,
        ERROR_MAX * 100.0
    )?;
    writeln!(text, "| point | measured | predicted | off | from |\n|---|---|---|---|---|")?;
    for check in &checks {
        let digits = if check.measured > 1000.0 { 0 } else { 2 };
        let off = check.error() * 100.0;
        let judged = check.not_judged.as_ref().map_or(String::new(), |why| format!(", not judged: {why}"));
        writeln!(
            text,
            "| {} | {:.digits$} {} | {:.digits$} | {off:+.0} %{judged} | {} |",
            check.what, check.measured, check.unit, check.predicted, check.from
        )?;
    }
    writeln!(text)
}

fn throughput(text: &mut String, points: &Points, model: &Model) -> std::fmt::Result {
    let assumed = &points.assumed;
    writeln!(text, "### Throughput of 1, 2 and 4\n")?;
    writeln!(
        text,
        "Events/s, at full load: nodes of {} cores, and a database of {} cores, or workers of as many. Computed, not measured.\n",
        assumed.node_cores, assumed.worker_cores
    )?;
    writeln!(text, "| | 1 | 2 | 4 |\n|---|---|---|---|")?;
    let mut line = |name: &str, cores: f64, us: f64| {
        let [one, two, four] = COUNTS.map(|count| thousands(model.rate(cores * count, us)));
        writeln!(text, "| {name} | {one} | {two} | {four} |")
    };
    line("nodes", assumed.node_cores, us(points, model, Layout::Citus).node)?;
    line("workers, citus", assumed.worker_cores, us(points, model, Layout::Citus).database)?;
    for layout in Layout::ALL.iter().filter(|layout| !layout.has_workers()) {
        let rate = thousands(model.rate(assumed.worker_cores, us(points, model, *layout).database));
        writeln!(text, "| one server, {} | {rate} | - | - |", layout.name())?;
    }
    writeln!(text)
}

fn measured(text: &mut String, points: &Points, model: &Model) -> std::fmt::Result {
    writeln!(text, "### Measured at 1, 2 and 4\n")?;
    writeln!(
        text,
        "Throughput per processor second as a ratio to raw COPY of the same layout in the same run; it must be 0.85 at least (the ratio of README.md is another one: of rates).\n"
    )?;
    writeln!(text, "| point | measured | predicted | from |\n|---|---|---|---|")?;
    let predicted = model.ratio(points, Engine::Postgres, 1000.0, 1000.0);
    for (name, point) in &points.measured {
        let value = point.value.map_or("not measured".to_owned(), |value| format!("{value:.2}"));
        writeln!(text, "| `{name}` | {value} | {predicted:.2} | {} |", point.from)?;
    }
    writeln!(text)
}

fn plans<'a>(points: &'a Points, model: &'a Model) -> impl Iterator<Item = (&'static str, Layout, Plan)> + 'a {
    RATES.into_iter().flat_map(move |(name, rate)| {
        Layout::ALL.into_iter().map(move |layout| (name, layout, plan(points, model, layout, rate)))
    })
}

fn needs(text: &mut String, points: &Points, model: &Model) -> std::fmt::Result {
    let assumed = &points.assumed;
    writeln!(text, "### What it needs\n")?;
    writeln!(
        text,
        "At {} times the average, with {:.0} % of the processors in use then; {} days are kept; a node more than are needed.\n",
        assumed.peak,
        assumed.busy * 100.0,
        assumed.days
    )?;
    writeln!(
        text,
        "| events | layout | nodes (cores busy at the peak) | database servers (cores busy at the peak) | tables GiB: a day, {:.0} days | WAL GiB a day \
         | Gbit/s into nodes | spool, GiB a minute and node | connections to a server |\n|---|---|---|---|---|---|---|---|---|",
        assumed.days
    )?;
    for (name, layout, plan) in plans(points, model) {
        writeln!(
            text,
            "| {name} | {} | {:.0} ({:.1}) | {} ({:.1}) | {}, {} | {} | {:.2} | {:.2} | {:.0} |",
            layout.name(),
            plan.nodes,
            plan.node_cores,
            if layout.has_workers() || plan.workers < 1.5 {
                format!("{:.0}", plan.workers)
            } else {
                format!("1 is not enough, {:.0} would be", plan.workers)
            },
            plan.worker_cores,
            thousands(plan.table_gib_day),
            thousands(plan.kept_gib),
            thousands(plan.wal_gib_day),
            plan.network_gbit,
            plan.spool_gib_minute,
            plan.connections,
        )?;
    }
    writeln!(text)
}

fn breaks(text: &mut String, points: &Points, model: &Model) -> std::fmt::Result {
    writeln!(text, "### What breaks first\n")?;
    writeln!(
        text,
        "How many database servers each alone would ask for, the most pressing first. Cores are so many that no more of them are busy than is said above.\n"
    )?;
    writeln!(text, "| events | layout | first | second | third |\n|---|---|---|---|---|")?;
    for (name, layout, plan) in plans(points, model) {
        let three = plan.uses.iter().take(3).map(|of| {
            format!(
                "{}: {} {} of {} each, {:.1}",
                of.what,
                thousands(of.needed),
                of.unit,
                thousands(of.has),
                of.workers()
            )
        });
        writeln!(text, "| {name} | {} | {} |", layout.name(), three.collect::<Vec<_>>().join(" | "))?;
    }
    writeln!(text)
}

fn connected(text: &mut String, points: &Points, model: &Model) -> std::fmt::Result {
    let assumed = &points.assumed;
    let of_one = connections(points);
    writeln!(text, "### Connections to a worker\n")?;
    writeln!(
        text,
        "{of_one:.0} of each node for each cell on it, where all are in use at once; {} cells, and `max_connections` of {}. \
         What is more is in bold.\n",
        assumed.cells, assumed.connections
    )?;
    writeln!(text, "| workers | cells on each | 1 node | 2 nodes | 4 nodes |\n|---|---|---|---|---|")?;
    for workers in [1.0, 2.0, 4.0, 8.0] {
        let cells = (assumed.cells / workers).ceil();
        let cell = |nodes: f64| {
            let count = nodes * cells * of_one;
            if count > assumed.connections { format!("**{count:.0}**") } else { format!("{count:.0}") }
        };
        let [one, two, four] = COUNTS.map(cell);
        writeln!(text, "| {workers:.0} | {cells:.0} | {one} | {two} | {four} |")?;
    }
    let most = (assumed.connections / of_one).floor();
    writeln!(text, "\nSo a worker with one cell takes {most:.0} nodes; its cores are busy with what {} bring.", {
        let us = us(points, model, Layout::Citus);
        format!("{:.1} nodes", assumed.worker_cores * us.node / (us.database * assumed.node_cores))
    })
}

/// Of what is large the digits in threes, of what is small one behind the point.
fn thousands(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}").trim_end_matches(".0").to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_in_threes() {
        let texts = [12.0, 12.34, 123.4, 1234.0, 1_234_567.0].map(thousands);
        assert_eq!(texts, ["12", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn what_is_not_measured_is_not_invented() {
        let mut points = Points::read();
        points.measured.values_mut().for_each(|point| point.value = None);
        let text = report(&points);
        for name in ["nodes_1", "nodes_2", "nodes_4", "workers_1", "workers_2", "workers_4"] {
            assert!(text.contains(&format!("| `{name}` | not measured |")), "{name}: {text}");
        }
        points.measured.get_mut("nodes_2").unwrap().value = Some(0.9);
        assert!(report(&points).contains("| `nodes_2` | 0.90 |"));
    }

    /// `cargo run --example scaling` prints what is to stand there.
    #[test]
    fn the_page_says_what_the_program_prints() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SCALING.md")).unwrap();
        let shown = page.split("<!-- tables -->\n").nth(1).expect("docs/SCALING.md has its tables between two marks");
        let printed = report(&Points::read());
        assert_eq!(shown.trim(), printed.trim(), "docs/SCALING.md is not what the program prints");
    }
}
