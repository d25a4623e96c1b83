//! The report of a run: what it depends on and its figures, as JSON, and as Markdown that reads well on a terminal and goes
//! into docs/PERFORMANCE.md as it is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::bounds::{BOUNDS, Bound};
use super::common::Result;
use super::figures::{Figure, Figures, text};

/// The whole report.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The commit that was measured.
    pub commit: String,
    /// When the run began, in UTC.
    pub at: String,
    /// The command line.
    pub arguments: Vec<String>,
    /// Made with `--quick`: its figures say nothing but that it works.
    pub quick: bool,
    pub machine: String,
    /// The database servers, by engine.
    pub servers: BTreeMap<String, String>,
    pub figures: Vec<Figure>,
    pub failures: Vec<String>,
}

impl Report {
    /// Takes the figures of an earlier report of the same commit, to be replaced part by part.
    pub fn merge(&mut self, path: &Path) -> Result<()> {
        let old: Self = serde_json::from_slice(&std::fs::read(path)?)?;
        if old.commit != self.commit {
            let (old, new, path) = (&old.commit, &self.commit, path.display());
            return Err(format!("{path} is of commit {old}, this is {new}: measure again without --merge").into());
        }
        (self.figures, self.servers) = (old.figures, old.servers);
        Ok(())
    }

    /// Replaces the figures of a part on an engine.
    pub fn enter(&mut self, engine: &str, part: &str, figures: Figures) {
        self.figures.retain(|figure| figure.engine != engine || figure.part != part);
        self.figures.extend(figures.list);
        self.failures.extend(figures.failures.into_iter().map(|what| format!("{engine}, {part}: {what}")));
    }

    /// The figures of a part on an engine, as they are so far.
    pub fn of_part(&self, engine: &str, part: &str) -> Vec<Figure> {
        self.figures.iter().filter(|figure| figure.engine == engine && figure.part == part).cloned().collect()
    }

    pub fn find(&self, engine: &str, part: &str, name: &str, unit: &str) -> Option<&Figure> {
        let wanted = (engine, part, name, unit);
        let is = |figure: &&Figure| (&*figure.engine, &*figure.part, &*figure.name, &*figure.unit) == wanted;
        self.figures.iter().find(is)
    }

    /// Writes the JSON, and the Markdown beside it; returns the latter.
    pub fn save(&self, path: &Path) -> Result<String> {
        let text = self.render();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, serde_json::to_vec_pretty(self)?)?;
        std::fs::write(path.with_extension("md"), &text)?;
        Ok(text)
    }

    fn render(&self) -> String {
        let mut out = format!("Commit {}, {}; {}.\n", self.commit, self.at, self.machine);
        out += &format!("Arguments: {}\n", self.arguments.join(" "));
        if self.quick {
            out += "\nMade with --quick: whether it works, not how fast it is.\n";
        }
        for (engine, server) in &self.servers {
            out += &format!("\n{engine}: {server}\n");
        }
        out += &self.contract();
        for engine in self.servers.keys() {
            out += &self.details(engine);
        }
        for failure in &self.failures {
            out += &format!("\nNot measured: {failure}\n");
        }
        out
    }

    /// The figures that have bounds, one a line.
    fn contract(&self) -> String {
        let engines: Vec<&String> = self.servers.keys().collect();
        let head = ["part", "figure", "unit", "must", "aim"].into_iter();
        let mut rows = vec![head.chain(engines.iter().map(|engine| engine.as_str())).map(str::to_owned).collect()];
        for bounds in BOUNDS.iter().filter(|bounds| engines.iter().any(|engine| bounds.are_of(engine))) {
            let value = |bound: Option<Bound>| bound.map_or_else(|| "-".to_owned(), |bound| text(bound.value()));
            let mut row = [bounds.part, bounds.name, bounds.unit].map(str::to_owned).to_vec();
            row.extend([value(Some(bounds.must)), value(bounds.aim)]);
            row.extend(engines.iter().map(|engine| match self.find(engine, bounds.part, bounds.name, bounds.unit) {
                _ if !bounds.are_of(engine) => "-".to_owned(),
                Some(figure) => judged(figure),
                None => "not measured".to_owned(),
            }));
            rows.push(row);
        }
        table(&rows)
    }

    /// All figures of an engine: a part's are a table, or several, with a row a name and a column a unit.
    fn details(&self, engine: &str) -> String {
        let mut out = String::new();
        let mut names: Vec<(&str, &str, Vec<&Figure>)> = Vec::new();
        for figure in self.figures.iter().filter(|figure| figure.engine == engine) {
            match names.iter_mut().find(|(part, name, _)| (*part, *name) == (&*figure.part, &*figure.name)) {
                Some((.., figures)) => figures.push(figure),
                None => names.push((&figure.part, &figure.name, vec![figure])),
            }
        }
        let units = |figures: &[&Figure]| figures.iter().map(|figure| figure.unit.clone()).collect::<Vec<_>>();
        for alike in names.chunk_by(|(part, _, one), (next, _, other)| part == next && units(one) == units(other)) {
            let (part, _, first) = &alike[0];
            let mut rows = vec![[vec![format!("{engine}, {part}")], units(first)].concat()];
            rows.extend(alike.iter().map(|(_, name, figures)| {
                let values = figures.iter().map(|figure| text(figure.value)).collect();
                [vec![(*name).to_owned()], values].concat()
            }));
            out += &table(&rows);
        }
        out
    }
}

/// A value, and whether its bounds are met.
fn judged(figure: &Figure) -> String {
    let met = |bound: Option<Bound>| bound.is_some_and(|bound| bound.is_met(figure.value));
    let judgement = match (met(figure.must), met(figure.aim)) {
        (true, true) => "aim met",
        (true, false) => "must met",
        (false, _) => "**missed**",
    };
    format!("{}, {judgement}", text(figure.value))
}

/// A table whose columns are aligned; the first row is its head.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            // A String takes every write.
            let _ = write!(out, "| {cell:<width$} ");
        }
        out += "|\n";
        if number == 0 {
            widths.iter().for_each(|width| out += &format!("|{}", "-".repeat(width + 2)));
            out += "|\n";
        }
    }
    format!("\n{out}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ratio: f64) -> Report {
        let mut figures = Figures::of("timescale", "compare");
        figures.add_all("raw COPY, round 1", &[("events/s", 178_000.0), ("bytes/event", 83.0)]);
        figures.add_all("Tidegate over HTTP, round 1", &[("events/s", 139_778.0), ("bytes/event", 83.4)]);
        figures.add("over HTTP / the reference", "ratio", ratio);
        figures.fail("UNNEST: no answer".into());
        let servers = ["postgres", "timescale"];
        let servers = servers.map(|engine| (engine.to_owned(), String::new())).into();
        let mut report = Report { servers, ..Report::default() };
        report.enter("timescale", "compare", figures);
        report
    }

    /// The cells of the line that begins with these.
    fn line(text: &str, begin: &str) -> Vec<String> {
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = text.lines().map(squeezed).find(|line| line.starts_with(begin)).expect("a line");
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn bounds_are_met_or_not_and_count_for_their_engine() {
        let judged = |ratio| {
            line(&report(ratio).render(), "| compare | over HTTP / the reference | ratio | 1.05")[5..].to_owned()
        };
        assert_eq!(judged(1.3), ["-", "1.30, aim met"]);
        assert_eq!(judged(1.1), ["-", "1.10, must met"]);
        assert_eq!(judged(0.9), ["-", "0.900, **missed**"]);
        let small = line(&report(0.9).render(), "| small |");
        assert_eq!(small[5..], ["not measured", "not measured"]);
    }

    #[test]
    fn names_are_rows_and_units_are_columns() {
        let text = report(0.9).render();
        assert_eq!(line(&text, "| timescale, compare | events/s"), ["timescale, compare", "events/s", "bytes/event"]);
        assert_eq!(line(&text, "| Tidegate over HTTP, round 1"), ["Tidegate over HTTP, round 1", "139778", "83.4"]);
        assert!(text.contains("Not measured: timescale, compare: UNNEST: no answer"), "{text}");
    }

    #[test]
    fn a_part_that_is_measured_again_replaces_its_figures_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("report.json");
        report(0.9).save(&path).expect("written");
        let mut again = Report { commit: "other".into(), ..Report::default() };
        assert!(again.merge(&path).is_err(), "of another commit");
        again.commit.clear();
        again.merge(&path).expect("of this commit");
        let mut figures = Figures::of("postgres", "compare");
        figures.add("over HTTP / the reference", "ratio", 1.0);
        again.enter("postgres", "compare", figures);
        again.enter("timescale", "compare", Figures::of("timescale", "compare"));
        assert_eq!((again.figures.len(), again.figures[0].engine.as_str()), (1, "postgres"));
    }
}
