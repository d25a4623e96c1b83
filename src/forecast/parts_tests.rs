//! Each part of a forecast by itself, with answers by hand.

use super::backtest::{Errors, is_nearer, origins, overlap, tried};
use super::interval::Spread;
use super::naive;
use super::simplex::least;
use super::smoothing::{Parameters, State, growth};
use super::values::{mean_step, median};

fn all(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (one, other) in found.iter().zip(expected) {
        assert!((one - other).abs() < 1e-9, "{found:?} is not {expected:?}");
    }
}

#[test]
fn smoothing_steps_as_it_is_written() {
    let parameters = Parameters { alpha: 0.5, beta: 0.25, gamma: 0.0, phi: 0.5 };
    let mut state = State::begin(&all(&[10.0, 12.0]), None);
    assert_eq!(state.step(&parameters, Some(10.0)), Some(0.0));
    // Level 10 + 0.5 x 2, trend 0.25 x 2.
    assert_eq!(state.step(&parameters, Some(12.0)), Some(2.0));
    assert_near(&state.ahead(&parameters, 3), &[11.25, 11.375, 11.4375]);
    // Without a value it goes on as it would have.
    assert_eq!(state.step(&parameters, None), None);
    assert_near(&state.ahead(&parameters, 2), &[11.375, 11.4375]);
}

#[test]
fn a_season_begins_with_what_two_of_them_say() {
    let parameters = Parameters { alpha: 0.0, beta: 0.0, gamma: 0.5, phi: 1.0 };
    let values = all(&[1.0, 2.0, 6.0, 1.0, 2.0, 6.0]);
    let mut state = State::begin(&values, Some(3));
    assert_near(&state.ahead(&parameters, 4), &[1.0, 2.0, 6.0, 1.0]);
    // Half of what it was off stays with its place.
    assert!(state.step(&parameters, Some(3.0)).is_some_and(|error| (error - 2.0).abs() < 1e-9));
    assert_near(&state.ahead(&parameters, 3), &[2.0, 6.0, 2.0]);
    // What has no value in either season adds nothing.
    let gaps = [Some(1.0), None, Some(3.0), Some(1.0), None, Some(3.0)];
    assert_near(&State::begin(&gaps, Some(3)).ahead(&parameters, 3), &[1.0, 2.0, 3.0]);
}

#[test]
fn errors_grow_as_those_of_a_random_walk_where_all_is_kept() {
    let walk = Parameters { alpha: 1.0, beta: 0.0, gamma: 0.0, phi: 0.9 };
    assert_near(&growth(&walk, None, 4), &[1.0, 2.0_f64.sqrt(), 3.0_f64.sqrt(), 2.0]);
    let seasonal = Parameters { alpha: 0.0, beta: 0.0, gamma: 0.5, phi: 0.9 };
    assert_near(&growth(&seasonal, Some(2), 4), &[1.0, 1.0, 1.25_f64.sqrt(), 1.25_f64.sqrt()]);
}

#[test]
fn the_least_place_is_found_inside_and_at_the_edge() {
    let (place, value) = least([0.9, 0.1], 200, |[x, y]| (x - 0.3).powi(2) + 4.0 * (y - 0.7).powi(2) + x * y * 0.1);
    assert!((place[0] - 0.265).abs() < 0.01 && (place[1] - 0.697).abs() < 0.01, "{place:?} {value}");
    let (place, value) = least([0.5, 0.5, 0.5], 200, |[x, y, z]| x - y + (z - 0.5).abs());
    assert!(place[0] < 0.01 && place[1] > 0.99 && value < -0.97, "{place:?} {value}");
    // A bound on looks is one, and nothing gets worse.
    let looks = std::cell::Cell::new(0);
    let (_, value) = least([0.5; 4], 20, |place| {
        looks.set(looks.get() + 1);
        place.iter().map(|x| (x - 0.2).abs()).sum()
    });
    assert!(looks.get() <= 25 && value <= 1.2, "{} {value}", looks.get());
}

#[test]
fn the_naive_ones_pass_over_gaps() {
    let values = [Some(1.0), Some(2.0), Some(3.0), None, Some(5.0), Some(6.0), None];
    assert_near(&naive::naive(&values, 2), &[6.0, 6.0]);
    // The place of the first bucket ahead is the second of a season of three.
    assert_near(&naive::seasonal(&values, 3, 4), &[5.0, 6.0, 1.0, 5.0]);
    // Where no season has a value at a place, the newest of all.
    assert_near(&naive::seasonal(&[None, Some(4.0), None, Some(7.0)], 2, 3), &[7.0, 7.0, 7.0]);
}

#[test]
fn places_of_the_past_are_spread_over_all_there_are() {
    assert_eq!(origins(10, 5, 3), [5, 6, 7]);
    assert_eq!(origins(8, 5, 3), [5]);
    assert_eq!(origins(7, 5, 3), Vec::<usize>::new());
    let many = origins(5000, 2500, 24);
    assert_eq!((many.len(), many[0], many[19]), (20, 2500, 4976));
    assert_eq!(origins(300, 150, 24).len(), 100);
}

#[test]
fn errors_are_those_by_hand() {
    let values = [Some(1.0), Some(2.0), Some(4.0), None, Some(8.0)];
    // From 2: 4, nothing, 8 came. From 4, with a gap before it: 8 came.
    let found = tried(&values, &[2, 4], 3, |before| vec![before.len() as f64; 3]);
    let errors = Errors::of(&found, &values);
    // 2, 6 and 4 off; a step is 1 or 2.
    assert_eq!((errors.mae, errors.mase), (Some(4.0), Some(4.0 / 1.5)));
    assert_near(&[errors.smape.expect("there are values")], &[(400.0 / 6.0 + 1200.0 / 10.0 + 800.0 / 12.0) / 3.0]);
    assert_eq!(mean_step(&values, 1), Some(1.5));
    assert_eq!(median(&mut [3.0, 1.0, 2.0, 9.0]), Some(2.5));
    // What never changes has no step to compare with.
    let same = all(&[5.0; 6]);
    let errors = Errors::of(&tried(&same, &[3], 2, |_| vec![5.0; 2]), &same);
    assert_eq!((errors.mae, errors.mase, errors.smape), (Some(0.0), None, Some(0.0)));
}

#[test]
fn nearer_is_more_than_chance() {
    let off = |errors: &[f64]| errors.iter().map(|error| vec![(*error, Some(0.0))]).collect::<Vec<_>>();
    let nearer = |first: &[f64], second: &[f64]| is_nearer(&off(first), &off(second), 1.0);
    let (far, near) = ([2.0, 3.0, 2.0, 3.0], [1.0, 1.5, 1.0, 2.9]);
    assert!(nearer(&near, &far) && !nearer(&far, &near) && !nearer(&far, &far));
    // Once much nearer and else a little further is luck.
    assert!(!nearer(&[2.1, 3.1, 2.1, 1.0], &far));
    assert!(!nearer(&[0.0, 0.0], &[1.0, 1.0]), "two tell nothing");
    // Always nearer, though nearly all of it is one outlier; and where all four look at the same bucket, which is one.
    let far = [2.0, 3.0, 2.0, 300.0];
    assert!(nearer(&near, &far) && !is_nearer(&off(&near), &off(&far), 4.0));
    assert_eq!((overlap(&[10, 12, 14], 6), overlap(&[10, 20, 30], 6), overlap(&[10], 6)), (3.0, 1.0, 1.0));
}

#[test]
fn an_interval_leaves_as_many_outside_as_it_is_asked_to() {
    // 0 was said, and -19 to 20 came, each bucket ahead twice as wide as the one before.
    let found = vec![(-19..=20).map(|came| (0.0, Some(f64::from(came)))).collect::<Vec<_>>()];
    let even = vec![1.0; 40];
    let spread = |level| Spread::of(&found, &even, level).expect("there are errors");
    // 41 x 0.1 is 4 at each end: three are outside, the fourth is the bound.
    assert_eq!((spread(0.8).below, spread(0.8).above), (-16.0, 17.0));
    // Too few to leave any outside.
    assert_eq!((spread(0.99).below, spread(0.99).above), (-19.0, 20.0));
    let wide = vec![2.0; 40];
    assert_eq!(Spread::of(&found, &wide, 0.8).map(|spread| spread.below), Some(-8.0));
    // Never beyond the forecast itself.
    let above = vec![vec![(0.0, Some(1.0)), (0.0, Some(2.0)), (0.0, None)]];
    assert_eq!(Spread::of(&above, &even, 0.8), Some(Spread { below: 0.0, above: 2.0 }));
    assert_eq!(Spread::of(&[vec![(0.0, None)]], &even, 0.8), None);
}
