//! The buckets of an answer: whose cells they are made of, how wide they are, and where they begin and end.
//!
//! Pure: the clock is passed in. Buckets begin at multiples of their width since 1970, whatever range is asked for, so that
//! two answers have the same buckets.

use serde::{Deserialize, Serialize};

use crate::model::Level;
use crate::query::levels::{Kept, Micros, Resolution};

const SECOND: Micros = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// None: of samples.
    pub level: Option<&'static Level>,
    /// A multiple of the level's, of samples whole seconds; None: each moment of samples by itself.
    pub width: Option<Micros>,
    /// The first bucket.
    pub from: Micros,
    /// The bucket after the last.
    pub to: Micros,
}

impl Grid {
    /// The buckets that begin in `[from, to)`, at most `points` where they are asked for.
    pub fn choose(
        kept: &Kept,
        resolution: Resolution,
        points: Option<i64>,
        (from, to): (Micros, Micros),
        now: Micros,
        points_auto: i64,
    ) -> Self {
        let range = to.saturating_sub(from).max(1);
        // So wide that no more begin in the range.
        let wanted = points.map(|points| ceil(range, points) / points);
        let level = match (resolution, wanted) {
            (Resolution::Raw, None) => return Self { level: None, width: None, from, to: to.max(from) },
            (Resolution::Raw, Some(_)) => None,
            (Resolution::Level(level), _) => Some(level),
            (Resolution::Auto, None) => Some(kept.auto(from, to, now, points_auto)),
            (Resolution::Auto, Some(wanted)) => Some(coarsest(kept, wanted, from, now)),
        };
        let unit = level.map_or(SECOND, Level::width_us);
        let width = unit.saturating_mul(wanted.map_or(1, |wanted| ceil(wanted, unit) / unit));
        Self { level, width: Some(width), from: ceil(from, width), to: ceil(to, width).max(ceil(from, width)) }
    }

    /// How many buckets there are; 0 where they are moments.
    pub fn buckets(&self) -> i64 {
        self.width.map_or(0, |width| (self.to - self.from) / width)
    }

    /// Width of a bucket, as readers write it: `90m`; of moments `raw`.
    pub fn resolution(&self) -> String {
        let Some(width) = self.width else { return "raw".into() };
        let seconds = width / SECOND;
        let (unit, name) = [(86_400, 'd'), (3600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(unit, _)| seconds % unit == 0)
            .unwrap_or((1, 's'));
        format!("{}{name}", seconds / unit)
    }

    pub fn saved(&self) -> SavedGrid {
        SavedGrid(self.level.and_then(|level| level.resolution).unwrap_or("raw").into(), self.width, self.from, self.to)
    }
}

/// Of the levels that still keep the range, the widest of which a multiple is hardly wider than what is wanted: the fewest
/// cells. Where there is none, the finest.
fn coarsest(kept: &Kept, wanted: Micros, from: Micros, now: Micros) -> &'static Level {
    let keeps = |level: &&Level| kept.since(level, now).is_some_and(|since| since <= level.ceil(from));
    let levels = || Level::of_metrics().filter(keeps);
    let fits = |level: &&Level| ceil(wanted, level.width_us()) - wanted <= wanted / 4;
    let fitting = levels().filter(fits).last();
    fitting.or_else(|| levels().next()).or_else(|| Level::of_metrics().last()).expect("there are levels of metrics")
}

/// The first multiple of `width` at or after a number.
fn ceil(at: Micros, width: Micros) -> Micros {
    let floor = at.div_euclid(width).saturating_mul(width);
    if floor == at { at } else { floor.saturating_add(width) }
}

/// A grid within a cursor: what the first page chose holds for those after it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedGrid(String, Option<Micros>, Micros, Micros);

impl SavedGrid {
    /// None: nobody made it.
    pub fn load(self) -> Option<Grid> {
        let Self(name, width, from, to) = self;
        let level = if name == "raw" { None } else { Some(Level::parse(&name)?) };
        let unit = level.map_or(SECOND, Level::width_us);
        let whole = |width: Micros| {
            let multiple = |at: Micros| at.rem_euclid(width) == 0;
            width > 0 && width % unit == 0 && multiple(from) && multiple(to)
        };
        let fits = width.map_or(level.is_none(), whole) && from <= to && to.checked_sub(from).is_some();
        fits.then_some(Grid { level, width, from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Layers};

    const MINUTE: Micros = 60 * SECOND;
    const HOUR: Micros = 60 * MINUTE;
    const DAY: Micros = 24 * HOUR;
    const NOW: Micros = 20_000 * DAY;

    fn kept() -> Kept {
        let config = Config::from_layers(&Layers::new()).expect("the defaults are a configuration");
        Kept::new(&config.retention, &config.rollups)
    }

    fn choose(resolution: Resolution, points: Option<i64>, age: Micros) -> (String, &'static str) {
        let grid = Grid::choose(&kept(), resolution, points, (NOW - age, NOW), NOW, 1000);
        assert!(points.is_none_or(|points| grid.buckets() <= points), "{grid:?}");
        assert_eq!(grid.saved().load(), Some(grid));
        (grid.resolution(), grid.level.and_then(|level| level.resolution).unwrap_or("raw"))
    }

    #[test]
    fn points_choose_a_level_and_a_multiple_of_it() {
        let auto = |points: i64, age: Micros| choose(Resolution::Auto, Some(points), age);
        assert_eq!(auto(60, HOUR), ("1m".into(), "1m"));
        assert_eq!(auto(300, HOUR), ("1m".into(), "1m"), "nothing is finer");
        assert_eq!(auto(300, DAY), ("5m".into(), "5m"));
        assert_eq!(auto(100, DAY), ("15m".into(), "5m"));
        assert_eq!(auto(20, 2 * HOUR), ("6m".into(), "1m"), "10m would be much wider");
        assert_eq!(auto(300, 6 * DAY), ("30m".into(), "5m"));
        assert_eq!(auto(300, 30 * DAY), ("3h".into(), "1h"));
        assert_eq!(auto(1000, 30 * DAY), ("1h".into(), "1h"), "minutes are kept for seven days");
        assert_eq!(auto(10, 3000 * DAY), ("300d".into(), "1d"));
        assert_eq!(auto(1, HOUR), ("1h".into(), "1h"));
        assert_eq!(auto(7, HOUR + 1), ("10m".into(), "5m"));
        let minutes = Level::parse("1m").map(Resolution::Level).expect("a level");
        assert_eq!(choose(minutes, Some(10), HOUR), ("6m".into(), "1m"));
        assert_eq!(choose(minutes, None, HOUR), ("1m".into(), "1m"));
        assert_eq!(choose(Resolution::Raw, Some(300), HOUR), ("12s".into(), "raw"));
        assert_eq!(choose(Resolution::Raw, None, HOUR), ("raw".into(), "raw"));
    }

    #[test]
    fn buckets_are_the_same_for_every_range() {
        let at = |from: Micros, to: Micros| {
            let grid = Grid::choose(&kept(), Resolution::Auto, Some(4), (from, to), NOW, 1000);
            (grid.from, grid.to, grid.buckets())
        };
        assert_eq!(at(NOW - HOUR + 1, NOW), (NOW - 45 * MINUTE, NOW, 3));
        assert_eq!(at(NOW - HOUR, NOW), (NOW - HOUR, NOW, 4));
        assert_eq!(at(NOW - HOUR + MINUTE, NOW + MINUTE), (NOW - 45 * MINUTE, NOW + 15 * MINUTE, 4));
        assert_eq!(at(NOW, NOW - HOUR).2, 0, "a range of nothing");
    }

    #[test]
    fn what_nobody_saved_is_refused() {
        let saved = |name: &str, width, from, to| SavedGrid(name.into(), width, from, to).load();
        assert!(saved("1m", Some(MINUTE), 0, HOUR).is_some() && saved("raw", None, 1, 2).is_some());
        for (name, width, from, to) in [
            ("2m", Some(MINUTE), 0, HOUR),
            ("1m", None, 0, HOUR),
            ("1m", Some(0), 0, HOUR),
            ("1m", Some(-MINUTE), 0, HOUR),
            ("5m", Some(MINUTE), 0, HOUR),
            ("raw", Some(1), 0, HOUR),
            ("1m", Some(MINUTE), 1, HOUR),
            ("1m", Some(MINUTE), HOUR, 0),
            ("raw", None, Micros::MIN, Micros::MAX),
        ] {
            assert!(saved(name, width, from, to).is_none(), "{name} {width:?} {from} {to}");
        }
    }
}
