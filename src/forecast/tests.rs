//! Series whose trend is known, and any others.

use proptest::prelude::*;

use super::trend;

const HOUR: f64 = 3600.0;

fn hourly(values: impl IntoIterator<Item = f64>) -> Vec<(f64, f64)> {
    values.into_iter().enumerate().map(|(hour, value)| (1.4e9 + hour as f64 * HOUR, value)).collect()
}

fn assert_near(found: Option<f64>, expected: f64) {
    let found = found.expect("a figure");
    assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} is not {expected}");
}

#[test]
fn a_straight_line_is_found() {
    let found = trend(&hourly((0..49).map(|hour| -10.0 + 0.5 * f64::from(hour)))).expect("a trend");
    assert_eq!(found.points, 49);
    for slope in [found.slope_per_day, found.slope_lower, found.slope_upper, found.ols_slope_per_day] {
        assert_near(slope, 12.0);
    }
    assert_near(found.level_start, -10.0);
    assert_near(found.level_end, 14.0);
    assert_near(found.change, 24.0);
    assert_near(found.ols_standard_error, 0.0);
    assert_near(found.r2, 1.0);
}

#[test]
fn gaps_do_not_bend_it() {
    let mut points = hourly((0..100).map(|hour| 3.0 * f64::from(hour)));
    points.retain(|(at, _)| !(20.0..70.0).contains(&((at - 1.4e9) / HOUR)));
    let found = trend(&points).expect("a trend");
    assert_eq!(found.points, 50);
    assert_near(found.slope_per_day, 72.0);
    assert_near(found.change, 297.0);
}

#[test]
fn outliers_move_least_squares_alone() {
    let values = (0..50).map(|hour| if hour >= 45 { 1e6 } else { f64::from(hour) });
    let found = trend(&hourly(values)).expect("a trend");
    let (robust, least) = (found.slope_per_day.expect("a trend"), found.ols_slope_per_day.expect("a trend"));
    assert!((robust - 24.0).abs() < 0.5, "{robust}");
    assert!(least > 1000.0 * robust, "{least}");
}

#[test]
fn of_four_points_by_hand() {
    let points: Vec<(f64, f64)> =
        [0.0, 1.0, 2.0, 7.0].iter().enumerate().map(|(n, v)| (n as f64 * 86_400.0, *v)).collect();
    let found = trend(&points).expect("a trend");
    // The slopes are 1, 1, 5, (2 - 0) / 2 = 1, (7 - 1) / 2 = 3, 7 / 3.
    assert_near(found.slope_per_day, (1.0 + 7.0 / 3.0) / 2.0);
    assert_near(found.ols_slope_per_day, 2.2);
    assert_near(found.r2, 1.0 - 4.8 / 29.0);
    assert_near(found.ols_standard_error, (4.8_f64 / 2.0 / 5.0).sqrt());
}

#[test]
fn what_does_not_change_has_no_r2() {
    for value in [0.0, 0.1, -7.25, f64::MAX, f64::MIN_POSITIVE, 5e-324] {
        let found = trend(&hourly([value; 20])).expect("a trend");
        assert_eq!((found.slope_per_day, found.change, found.r2), (Some(0.0), Some(0.0), None), "{value}");
        assert_eq!((found.level_start, found.level_end), (Some(value), Some(value)), "{value}");
    }
}

#[test]
fn too_few_say_nothing() {
    assert_eq!(trend(&[]), None);
    assert_eq!(trend(&hourly([1.0, 2.0])), None);
    assert!(trend(&hourly([1.0, 2.0, 3.0])).is_some());
}

proptest! {
    #[test]
    fn any_finite_values_make_finite_figures(
        values in prop::collection::vec(
            (1_u32..1000, prop_oneof![prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, -1e3..1e3]),
            3..60,
        ),
    ) {
        let mut at = 0.0;
        let mut points = Vec::new();
        for (step, value) in values {
            at += f64::from(step) * 60.0;
            points.push((at, value));
        }
        let found = trend(&points).expect("three points or more");
        for figure in [
            found.slope_per_day, found.slope_lower, found.slope_upper, found.level_start, found.level_end, found.change,
            found.ols_slope_per_day, found.ols_standard_error, found.r2,
        ] {
            prop_assert!(figure.is_none_or(f64::is_finite), "{found:?}");
        }
        if let (Some(lower), Some(slope), Some(upper)) = (found.slope_lower, found.slope_per_day, found.slope_upper) {
            prop_assert!(lower <= slope && slope <= upper, "{found:?}");
        }
    }
}
