//! Series whose future is known, and any others.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use proptest::prelude::*;

use super::{Asked, Forecast, Method, Seasons, forecast, needed};

const DAY: usize = 24;

/// Numbers from -0.5 to 0.5 that depend on nothing, the same each time.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 32).unwrap_or(0)) / f64::from(u32::MAX) - 0.5
    }
}

/// What a day looks like: more by day than by night.
fn day(hour: usize) -> f64 {
    50.0 + 20.0 * (std::f64::consts::TAU * hour as f64 / DAY as f64).sin()
}

/// Hours of that day, each off by up to a half of this.
fn days(hours: usize, spread: f64) -> Vec<Option<f64>> {
    let mut noise = noise(7);
    (0..hours).map(|hour| Some(day(hour) + spread * noise())).collect()
}

fn walk(seed: u64, steps: usize) -> Vec<Option<f64>> {
    let (mut noise, mut at) = (noise(seed), 100.0);
    let step = |_| {
        at += noise();
        Some(at)
    };
    (0..steps).map(step).collect()
}

fn asked(horizon: usize) -> Asked {
    Asked { horizon, seasons: Seasons::Any(vec![DAY, 7 * DAY]), level: 0.95 }
}

fn known(values: &[Option<f64>], horizon: usize) -> Forecast {
    forecast(values, &asked(horizon)).expect("there is enough")
}

#[test]
fn a_daily_season_is_found_and_goes_on() {
    let found = known(&days(14 * DAY, 4.0), DAY);
    assert_eq!((found.method, found.season, found.naive_season), (Method::Smoothing, Some(DAY), Some(DAY)));
    let backtest = found.backtest;
    let seasonal = backtest.seasonal_naive.expect("a day is known");
    // Off by the noise, 1 in the mean; the difference of two of them is 4 / 3.
    assert!(backtest.smoothing.mae < Some(1.3) && backtest.smoothing.mae < seasonal.mae, "{backtest:?}");
    assert!(backtest.naive.mae > Some(10.0), "{backtest:?}");
    for (hour, expected) in found.expected.iter().enumerate() {
        let (value, lower, upper) = (expected.value.unwrap(), expected.lower.unwrap(), expected.upper.unwrap());
        let right = day(14 * DAY + hour);
        assert!((value - right).abs() < 2.5, "hour {hour}: {value} is not {right}");
        assert!(lower < right && right < upper && upper - lower < 12.0, "hour {hour}: {lower} to {upper}");
    }
}

#[test]
fn of_a_random_walk_nothing_is_known_but_where_it_is() {
    let mut naive = 0;
    for seed in 1..=8 {
        let values = walk(seed, 300);
        let found = known(&values, DAY);
        let errors = found.backtest;
        assert!(errors.smoothing.mae > errors.naive.mae.map(|mae| mae * 0.8), "{seed}: {errors:?}");
        if found.method != Method::Naive {
            continue;
        }
        naive += 1;
        assert!(found.expected.iter().all(|expected| (expected.value.unwrap() - values[299].unwrap()).abs() < 1e-9));
        let width = |n: usize| found.expected[n].upper.unwrap() - found.expected[n].lower.unwrap();
        assert!((width(15) - 4.0 * width(0)).abs() < 1e-6, "it grows with the root of how far ahead");
    }
    // By chance one may look as if more were known.
    assert!(naive >= 7, "{naive}");
}

#[test]
fn a_line_goes_on() {
    let values: Vec<_> = (0..200).map(|n| Some(3.0 * f64::from(n))).collect();
    let found = known(&values, 6);
    assert_eq!(found.method, Method::Smoothing);
    for (n, expected) in found.expected.iter().enumerate() {
        let right = 3.0 * (200 + n) as f64;
        assert!((expected.value.unwrap() - right).abs() < 2.0, "{n}: {expected:?} is not {right}");
    }
}

#[test]
fn a_season_of_a_week_is_told_from_one_of_a_day() {
    let mut noise = noise(3);
    let at = |hour: usize| day(hour) * if hour / DAY % 7 < 5 { 1.0 } else { 0.4 };
    let values: Vec<_> = (0..6 * 7 * DAY).map(|hour| Some(at(hour) + noise())).collect();
    let found = known(&values, 3 * DAY);
    assert_eq!((found.method, found.season), (Method::Smoothing, Some(7 * DAY)), "{:?}", found.backtest);
    let given = forecast(&values, &Asked { seasons: Seasons::One(DAY), ..asked(3 * DAY) }).expect("there is enough");
    assert_eq!((given.season, given.naive_season), (Some(DAY), Some(DAY)));
    let none = forecast(&values, &Asked { seasons: Seasons::None, ..asked(3 * DAY) }).expect("there is enough");
    assert_eq!((none.season, none.backtest.seasonal_naive), (None, None));
    assert!(found.backtest.smoothing.mae < none.backtest.smoothing.mae);
}

#[test]
fn gaps_are_passed_over() {
    let mut values = days(14 * DAY, 2.0);
    // A night that is missing, and each seventh hour.
    values[100..110].fill(None);
    values.iter_mut().skip(3).step_by(7).for_each(|value| *value = None);
    let found = known(&values, DAY);
    assert_eq!((found.method, found.season), (Method::Smoothing, Some(DAY)));
    for (hour, expected) in found.expected.iter().enumerate() {
        assert!((expected.value.unwrap() - day(14 * DAY + hour)).abs() < 2.5, "hour {hour}: {expected:?}");
    }
    // More gaps than values say too little.
    values.iter_mut().step_by(2).for_each(|value| *value = None);
    assert_eq!(forecast(&values, &asked(DAY)), None);
}

#[test]
fn an_outlier_moves_little() {
    let mut values = days(14 * DAY, 2.0);
    values[200] = Some(5000.0);
    let found = known(&values, DAY);
    assert_eq!(found.season, Some(DAY));
    for (hour, expected) in found.expected.iter().enumerate() {
        assert!((expected.value.unwrap() - day(14 * DAY + hour)).abs() < 5.0, "hour {hour}: {expected:?}");
    }
}

#[test]
fn what_does_not_change_stays() {
    for value in [0.0, 0.1, -7.25, f64::MAX, f64::MIN_POSITIVE, 5e-324] {
        let found = known(&[Some(value); 60], 5);
        assert_eq!(
            (found.method, found.backtest.naive.mae, found.backtest.naive.mase),
            (Method::Naive, Some(0.0), None)
        );
        for expected in found.expected {
            assert_eq!((expected.lower, expected.value, expected.upper), (Some(value), Some(value), Some(value)));
        }
    }
}

#[test]
fn too_few_say_nothing() {
    for horizon in [1, 7, 24] {
        let least = needed(&asked(horizon));
        assert!(forecast(&walk(1, least), &asked(horizon)).is_some(), "{horizon}");
        assert_eq!(forecast(&walk(1, least - 1), &asked(horizon)), None, "{horizon}");
    }
    let season = Asked { seasons: Seasons::One(DAY), ..asked(1) };
    assert_eq!(needed(&season), 3 * DAY + 3);
    assert!(forecast(&walk(1, needed(&season)), &season).is_some());
    assert_eq!(forecast(&[], &asked(1)), None);
}

#[test]
fn the_same_values_have_the_same_forecast() {
    let values = walk(5, 300);
    assert_eq!(known(&values, DAY), known(&values, DAY));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_finite_values_make_finite_figures(
        values in prop::collection::vec(
            prop::option::weighted(
                0.9,
                prop_oneof![prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, -1e3..1e3],
            ),
            0..120,
        ),
        horizon in 1_usize..12,
        period in 2_usize..9,
    ) {
        let asked = Asked { horizon, seasons: Seasons::Any(vec![period, 4 * period]), level: 0.9 };
        let Some(found) = forecast(&values, &asked) else { return Ok(()) };
        prop_assert_eq!(found.expected.len(), horizon);
        for expected in &found.expected {
            for figure in [expected.value, expected.lower, expected.upper] {
                prop_assert!(figure.is_none_or(f64::is_finite), "{expected:?}");
            }
            if let (Some(lower), Some(value), Some(upper)) = (expected.lower, expected.value, expected.upper) {
                prop_assert!(lower <= value && value <= upper, "{expected:?}");
            }
        }
        let errors = [Some(found.backtest.smoothing), found.backtest.seasonal_naive, Some(found.backtest.naive)];
        for figure in errors.into_iter().flatten().flat_map(|errors| [errors.mae, errors.mase, errors.smape]) {
            prop_assert!(figure.is_none_or(|figure| figure.is_finite() && figure >= 0.0), "{:?}", found.backtest);
        }
    }
}
