//! Lines of values over time, one a group: what is put where a bucket has none.
//!
//! Pure.

use std::collections::BTreeMap;

use super::grid::Grid;
use crate::query::levels::Micros;

/// What a group is called: its value of each thing that is grouped by, as JSON; None: it has none.
pub type GroupKey = Vec<Option<String>>;

/// Values by bucket, from old to new; a value may be null, as the deviation of one sample is.
pub type Line = BTreeMap<Micros, Option<f64>>;

/// What an empty bucket of a line is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    Null,
    /// The newest value before it, null where there is none.
    Previous,
    Zero,
}

impl Fill {
    pub const ALL: [(&'static str, Self); 3] =
        [("null", Self::Null), ("previous", Self::Previous), ("zero", Self::Zero)];
}

/// Puts a value into every bucket of the grid that has none.
pub fn fill(line: &mut Line, grid: &Grid, fill: Fill) {
    let Some(width) = grid.width else { return };
    let mut previous = None;
    for index in 0..grid.buckets() {
        let filled = match fill {
            Fill::Null => None,
            Fill::Previous => previous,
            Fill::Zero => Some(0.0),
        };
        let value = line.entry(grid.from + index * width).or_insert(filled);
        previous = value.or(previous);
    }
}

/// The values of all lines, the newest bucket first, then in the order of the groups.
pub fn newest_first(lines: &BTreeMap<GroupKey, Line>) -> Vec<(Micros, &GroupKey, Option<f64>)> {
    let values = |(key, line): (_, &Line)| line.iter().map(move |(at, value)| (*at, key, *value)).collect::<Vec<_>>();
    let mut all: Vec<_> = lines.iter().flat_map(values).collect();
    // Stable: of one bucket the groups stay in their order.
    all.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Level;

    const MINUTE: Micros = 60_000_000;

    fn grid(from: Micros, to: Micros) -> Grid {
        Grid { level: Level::parse("1m"), width: Some(MINUTE), from: from * MINUTE, to: to * MINUTE }
    }

    fn line(values: &[(Micros, Option<f64>)]) -> Line {
        values.iter().map(|(at, value)| (at * MINUTE, *value)).collect()
    }

    fn filled(values: &[(Micros, Option<f64>)], how: Fill) -> Vec<Option<f64>> {
        let mut line = line(values);
        fill(&mut line, &grid(10, 16), how);
        assert!(line.keys().copied().eq((10..16).map(|at| at * MINUTE)));
        line.into_values().collect()
    }

    #[test]
    fn empty_buckets_are_filled_and_others_stay() {
        let sparse = [(11, Some(1.5)), (13, None), (14, Some(-2.0))];
        assert_eq!(filled(&sparse, Fill::Null), [None, Some(1.5), None, None, Some(-2.0), None]);
        assert_eq!(filled(&sparse, Fill::Zero), [Some(0.0), Some(1.5), Some(0.0), None, Some(-2.0), Some(0.0)]);
        assert_eq!(filled(&sparse, Fill::Previous), [None, Some(1.5), Some(1.5), None, Some(-2.0), Some(-2.0)]);
        let before_a_null = [(10, Some(3.0)), (11, None)];
        assert_eq!(
            filled(&before_a_null, Fill::Previous),
            [Some(3.0), None, Some(3.0), Some(3.0), Some(3.0), Some(3.0)]
        );
    }

    #[test]
    fn moments_are_not_filled() {
        let mut moments = line(&[(1, Some(1.0))]);
        fill(&mut moments, &Grid { level: None, width: None, from: 0, to: 10 * MINUTE }, Fill::Zero);
        assert_eq!(moments.len(), 1);
    }

    #[test]
    fn the_newest_bucket_comes_first_and_groups_in_their_order() {
        let key = |text: &str| vec![Some(text.to_owned())];
        let none: GroupKey = vec![None];
        let lines = BTreeMap::from([
            (key("\"b\""), line(&[(1, Some(1.0)), (3, Some(3.0))])),
            (key("\"a\""), line(&[(2, Some(2.0)), (3, None)])),
            (none.clone(), line(&[(3, Some(0.0))])),
        ]);
        let (a, b) = (key("\"a\""), key("\"b\""));
        let expected = [
            (3 * MINUTE, &none, Some(0.0)),
            (3 * MINUTE, &a, None),
            (3 * MINUTE, &b, Some(3.0)),
            (2 * MINUTE, &a, Some(2.0)),
            (MINUTE, &b, Some(1.0)),
        ];
        assert_eq!(newest_first(&lines), expected);
    }
}
