//! What auto chooses, and how a range is cut.

use super::*;
use crate::limits::{BUCKETS_MAX, POINTS_AUTO_MAX};

const MINUTE: Micros = 60_000_000;
const HOUR: Micros = 60 * MINUTE;
const DAY: Micros = 24 * HOUR;
const DAYS: u64 = 24 * 3600;
const NOW: Micros = 20_000 * DAY;

fn level(resolution: &str) -> &'static Level {
    Level::parse(resolution).expect("a level")
}

fn minute() -> &'static Level {
    level("1m")
}

fn five_minutes() -> &'static Level {
    level("5m")
}

fn hour() -> &'static Level {
    level("1h")
}

fn day() -> &'static Level {
    level("1d")
}

/// How long levels are kept, by what they are asked for.
fn levels(keep: impl Fn(&str) -> Option<Duration>) -> PerLevel<Option<Duration>> {
    PerLevel::new(|level| level.resolution.and_then(&keep))
}

fn kept(fine: bool) -> Kept {
    let days = |count: u64| Duration::from_secs(count * DAYS);
    Kept {
        metrics: days(90),
        events: days(365),
        correlations: days(90),
        levels: levels(|resolution| match resolution {
            "1h" => Some(days(730)),
            "1d" => Some(Duration::MAX),
            _ => fine.then_some(days(7)),
        }),
    }
}

#[test]
fn auto_is_the_finest_that_gives_a_thousand_points() {
    let auto = |from: Micros, to: Micros| kept(true).auto(from, to, NOW, POINTS_AUTO_MAX);
    let back = |age: Micros| auto(NOW - age, NOW);
    assert_eq!(back(HOUR), minute());
    assert_eq!(back(POINTS_AUTO_MAX * MINUTE), minute());
    assert_eq!(back(POINTS_AUTO_MAX * MINUTE + 1), minute(), "the bucket that `from` is in begins before it");
    assert_eq!(back((POINTS_AUTO_MAX + 1) * MINUTE), five_minutes());
    assert_eq!(back(DAY), five_minutes());
    assert_eq!(back(POINTS_AUTO_MAX * 5 * MINUTE), five_minutes());
    assert_eq!(back((POINTS_AUTO_MAX + 1) * 5 * MINUTE), hour());
    assert_eq!(back(POINTS_AUTO_MAX * HOUR), hour());
    assert_eq!(back((POINTS_AUTO_MAX + 1) * HOUR), day());
    assert_eq!(back(5_000 * DAY), day(), "nothing is coarser");
}

#[test]
fn auto_leaves_out_what_is_not_kept() {
    let old = |age: Micros, kept: &Kept| kept.auto(NOW - age, NOW - age + HOUR, NOW, POINTS_AUTO_MAX);
    assert_eq!(old(7 * DAY, &kept(true)), minute());
    assert_eq!(old(7 * DAY + MINUTE, &kept(true)), five_minutes(), "its first bucket is seven days old");
    assert_eq!(old(7 * DAY + 6 * MINUTE, &kept(true)), hour(), "minutes are kept for seven days");
    assert_eq!(old(730 * DAY, &kept(true)), hour());
    assert_eq!(old(731 * DAY, &kept(true)), day());
    assert_eq!(old(HOUR, &kept(false)), hour(), "minutes are switched off");
}

/// Between two starts of its buckets a level has nothing to say, whatever was measured.
#[test]
fn auto_is_no_level_without_a_bucket_where_samples_have_one() {
    // Between five past ten and ten to eleven, so many days ago.
    let part_of_hour = |days: Micros, kept: &Kept| {
        let ten = NOW - days * DAY + 10 * HOUR;
        kept.auto(ten + 5 * MINUTE, ten + 50 * MINUTE, NOW, POINTS_AUTO_MAX)
    };
    assert_eq!(part_of_hour(1, &kept(true)), minute());
    assert_eq!(part_of_hour(8, &kept(true)), minute(), "no longer kept");
    assert_eq!(part_of_hour(1, &kept(false)), minute(), "switched off");
    assert_eq!(part_of_hour(90, &kept(true)), minute());
    assert_eq!(part_of_hour(91, &kept(true)), hour(), "its samples have expired");
    let auto = |from: Micros, to: Micros| kept(false).auto(NOW - DAY + from, NOW - DAY + to, NOW, POINTS_AUTO_MAX);
    assert_eq!(auto(1, HOUR), minute(), "the end is exclusive");
    assert_eq!(auto(1, HOUR + 1), hour(), "one bucket");
    assert_eq!(auto(MINUTE + 1, 2 * MINUTE), minute(), "within a minute there is nothing");
    assert_eq!(auto(1, 1), minute(), "a range of nothing");
    // Of a day in part, where hours are kept for two days: more minutes than fit.
    let two_days = |resolution: &str| match resolution {
        "1h" => Some(Duration::from_secs(2 * DAYS)),
        "1d" => Some(Duration::MAX),
        _ => None,
    };
    let short = Kept { levels: levels(two_days), ..kept(false) };
    let begin = NOW - 10 * DAY;
    assert_eq!(short.auto(begin + MINUTE, begin + DAY - MINUTE, NOW, POINTS_AUTO_MAX), five_minutes());
    assert_eq!(short.auto(begin + MINUTE, begin + DAY + MINUTE, NOW, POINTS_AUTO_MAX), day());
}

#[test]
fn buckets_are_counted_by_their_start() {
    assert_eq!(minute().buckets(0, MINUTE), 1);
    assert_eq!(minute().buckets(1, MINUTE), 0);
    assert_eq!(minute().buckets(0, MINUTE + 1), 2);
    assert_eq!(hour().buckets(5, 5), 0);
    assert_eq!(hour().buckets(5, -5 * HOUR), 0);
    assert_eq!(hour().floor(-1), -HOUR);
    assert!(minute().buckets(NOW - 35 * DAY, NOW) > BUCKETS_MAX);
}

fn rollup(from: Micros, to: Micros) -> Part {
    Part { source: ReadFrom::Rollup, from, to }
}

fn rows(from: Micros, to: Micros) -> Part {
    Part { source: ReadFrom::Rows, from, to }
}

#[test]
fn a_fresh_range_is_the_rollup_s() {
    let all = parts(hour(), (1, 10 * HOUR + 1), 0, 0, &[]);
    assert_eq!(all, [rollup(HOUR, 11 * HOUR)]);
    assert_eq!(parts(hour(), (HOUR, HOUR), 0, 0, &[]), []);
    assert_eq!(parts(hour(), (2 * HOUR, HOUR), 0, 0, &[]), []);
}

#[test]
fn what_a_level_no_longer_keeps_comes_from_rows() {
    let range = (0, 10 * HOUR);
    assert_eq!(parts(hour(), range, 4 * HOUR, 0, &[]), [rows(0, 4 * HOUR), rollup(4 * HOUR, 10 * HOUR)]);
    assert_eq!(parts(hour(), range, 4 * HOUR, HOUR, &[]), [rows(HOUR, 4 * HOUR), rollup(4 * HOUR, 10 * HOUR)]);
    assert_eq!(parts(hour(), range, 4 * HOUR, 5 * HOUR, &[]), [rollup(4 * HOUR, 10 * HOUR)], "neither keeps it");
    assert_eq!(parts(hour(), range, Micros::MAX, 0, &[]), [rows(0, 10 * HOUR)], "switched off");
    assert_eq!(parts(hour(), range, Micros::MAX, Micros::MAX, &[]), []);
}

#[test]
fn what_lags_comes_from_rows() {
    let stale = [(3 * HOUR + 1, 3 * HOUR + 2), (5 * HOUR, 6 * HOUR), (6 * HOUR - 1, 7 * HOUR), (50 * HOUR, 60 * HOUR)];
    assert_eq!(
        parts(hour(), (0, 10 * HOUR), 0, 0, &stale),
        [
            rollup(0, 3 * HOUR),
            rows(3 * HOUR, 4 * HOUR),
            rollup(4 * HOUR, 5 * HOUR),
            rows(5 * HOUR, 7 * HOUR),
            rollup(7 * HOUR, 10 * HOUR)
        ]
    );
    // Beyond the rows nothing is better than the rollup.
    assert_eq!(
        parts(hour(), (0, 10 * HOUR), 0, 4 * HOUR, &[(Micros::MIN / 2, 5 * HOUR)]),
        [rollup(0, 4 * HOUR), rows(4 * HOUR, 5 * HOUR), rollup(5 * HOUR, 10 * HOUR)]
    );
}

/// Any cut: every bucket that is kept is in exactly one part, stale ones in rows, and there are few parts.
#[test]
fn every_bucket_is_in_one_part() {
    let mut seed = 42_u64;
    let mut random = |below: i64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(seed >> 33).expect("31 bits") % below
    };
    for _ in 0..2_000 {
        let from = random(50) * HOUR / 2;
        let to = from + random(100) * HOUR / 2;
        let rollup_since = if random(4) == 0 { Micros::MAX } else { random(80) * HOUR };
        let rows_since = random(60) * HOUR;
        let stale: Vec<(Micros, Micros)> = (0..random(30))
            .map(|_| {
                let start = random(100 * HOUR);
                (start, start + random(2 * HOUR))
            })
            .collect();
        let found = parts(hour(), (from, to), rollup_since, rows_since, &stale);
        assert!(found.len() <= 2 * STALE_PIECES_MAX + 2, "{found:?}");
        assert!(found.windows(2).all(|pair| pair[0].to <= pair[1].from), "{found:?}");
        let mut bucket = hour().ceil(from);
        while bucket < to {
            let holds = found.iter().filter(|part| part.from <= bucket && bucket < part.to).collect::<Vec<_>>();
            let is_stale = stale.iter().any(|(from, to)| from < to && *from < bucket + HOUR && bucket < *to);
            match holds.as_slice() {
                [] => assert!(bucket < rollup_since && bucket < rows_since),
                [one] if one.source == ReadFrom::Rows => assert!(bucket >= rows_since),
                [_] => assert!(bucket >= rollup_since && (!is_stale || bucket < rows_since), "{bucket} {found:?}"),
                more => panic!("{more:?}"),
            }
            bucket += HOUR;
        }
    }
}
