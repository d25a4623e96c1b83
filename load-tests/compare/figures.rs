//! Figures: the one form in which every part says what it measured.

use serde::{Deserialize, Serialize};

use super::bounds::{BOUNDS, Bound};

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub engine: String,
    pub part: String,
    pub name: String,
    pub unit: String,
    pub value: f64,
    pub must: Option<Bound>,
    pub aim: Option<Bound>,
}

/// The figures of one part on one engine, and what could not be measured.
#[derive(Debug, Default)]
pub struct Figures {
    engine: String,
    part: String,
    pub list: Vec<Figure>,
    /// What failed without keeping the rest of the part from being measured.
    pub failures: Vec<String>,
}

impl Figures {
    pub fn of(engine: &str, part: &str) -> Self {
        Self { engine: engine.to_owned(), part: part.to_owned(), ..Self::default() }
    }

    /// Adds a figure with the bounds that it has, or replaces it, and tells the terminal.
    pub fn add(&mut self, name: &str, unit: &str, value: f64) {
        self.list.retain(|figure| figure.name != name || figure.unit != unit);
        let bounds = BOUNDS.iter().find(|bounds| {
            bounds.are_of(&self.engine) && bounds.part == self.part && bounds.name == name && bounds.unit == unit
        });
        println!("    {name}: {} {unit}", text(value));
        self.list.push(Figure {
            engine: self.engine.clone(),
            part: self.part.clone(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            value,
            must: bounds.map(|bounds| bounds.must),
            aim: bounds.and_then(|bounds| bounds.aim),
        });
    }

    /// Several of one name.
    pub fn add_all(&mut self, name: &str, values: &[(&str, f64)]) {
        values.iter().for_each(|(unit, value)| self.add(name, unit, *value));
    }

    /// A figure that was added; none for one that was not.
    pub fn get(&self, name: &str, unit: &str) -> Option<f64> {
        self.list.iter().find(|figure| figure.name == name && figure.unit == unit).map(|figure| figure.value)
    }

    pub fn fail(&mut self, what: String) {
        println!("    not measured: {what}");
        self.failures.push(what);
    }
}

/// Three or four digits that count.
pub fn text(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_bounds_of_their_engine_and_replace_each_other() {
        let mut figures = Figures::of("postgres", "compare");
        figures.add("over HTTP / the reference", "ratio", 0.5);
        figures.add("over HTTP / the reference", "ratio", 0.97);
        figures.add("raw COPY", "events/s", 1e5);
        assert_eq!((figures.list.len(), figures.get("over HTTP / the reference", "ratio")), (2, Some(0.97)));
        assert_eq!((figures.list[0].must, figures.list[1].must), (Some(Bound::AtLeast(0.95)), None));
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        let texts = [127_801.4, 176.5, 21.84, 1.649, 0.0384, 0.0].map(text);
        assert_eq!(texts, ["127801", "176", "21.8", "1.65", "0.038", "0"]);
    }
}
