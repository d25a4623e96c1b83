use super::*;

const DAY_US: i64 = 86_400_000_000;
const NOW_US: i64 = 100 * WEEK_US + 3 * DAY_US;

fn map() -> SliceMap {
    SliceMap::new(DAY_US, 4, true)
}

fn found(from_us: i64, to_us: i64, partition: u32, partitions: u32) -> FoundChunk {
    FoundChunk { from_us, to_us, space: Some(space_of(partition, partitions)) }
}

fn slice(from_us: i64, to_us: i64, partitions: u32) -> Slice {
    Slice { from_us, to_us, partitions: Some(partitions) }
}

#[test]
fn hashes_are_cut_into_equal_parts() {
    assert_eq!([0, 268_435_454, 268_435_455, SPACE_MAX].map(|space| partition(space, 8)), [0, 0, 1, 7]);
    assert_eq!([0, SPACE_MAX].map(|space| partition(space, 1)), [0, 0]);
    assert_eq!(partition(SPACE_MAX, 3), 2);
}

#[test]
fn a_partitions_bounds_tell_how_many_there_are() {
    for partitions in 1..=PARTITIONS_MAX {
        for index in 0..partitions {
            let bounds = space_of(index, partitions);
            assert_eq!(partitions_of(bounds), Some(partitions), "{index} of {partitions}");
            let inside = u32::try_from(bounds.0.max(0)).expect("a hash");
            assert_eq!(partition(inside, partitions), index);
        }
    }
    // As TimescaleDB writes those of 4, and what it makes of 8 beside chunks of 4.
    assert_eq!(space_of(3, 4), (1_610_612_733, i64::MAX));
    assert_eq!(partitions_of((1_342_177_275, 1_610_612_730)), Some(8));
    assert_eq!(partitions_of((1_073_741_822, 1_342_177_275)), None);
}

#[test]
fn days_are_slices_and_old_weeks_too() {
    let map = map();
    let day = |us: i64| us.div_euclid(DAY_US) * DAY_US;
    for us in [NOW_US, NOW_US + 7 * DAY_US, 99 * WEEK_US, 100 * WEEK_US - 1] {
        assert_eq!(map.around(us, NOW_US), slice(day(us), day(us) + DAY_US, 4), "{us}");
    }
    for us in [99 * WEEK_US - 1, 98 * WEEK_US, 5 * WEEK_US + DAY_US] {
        let from_us = us.div_euclid(WEEK_US) * WEEK_US;
        assert_eq!(map.around(us, NOW_US), slice(from_us, from_us + WEEK_US, 1), "{us}");
    }
    let wide = SliceMap::new(WEEK_US, 1, true);
    assert_eq!(wide.around(3 * WEEK_US + 1, NOW_US), slice(3 * WEEK_US, 4 * WEEK_US, 1));
    // Five hours do not divide a week.
    let odd = SliceMap::new(5 * DAY_US / 24, 1, true);
    assert_eq!(odd.around(0, NOW_US), slice(0, 5 * DAY_US / 24, 1));
    assert_eq!(SliceMap { weeks: false, ..map }.around(0, NOW_US), slice(0, DAY_US, 4));
}

#[test]
fn a_week_with_a_day_in_it_stays_days() {
    let mut map = map();
    map.learn(found(WEEK_US + 2 * DAY_US, WEEK_US + 3 * DAY_US, 1, 4));
    assert_eq!(map.around(WEEK_US, NOW_US), slice(WEEK_US, WEEK_US + DAY_US, 4));
    assert_eq!(map.around(WEEK_US + 6 * DAY_US, NOW_US), slice(WEEK_US + 6 * DAY_US, 2 * WEEK_US, 4));
    assert_eq!(map.around(0, NOW_US), slice(0, WEEK_US, 1));
    assert_eq!(map.around(2 * WEEK_US, NOW_US), slice(2 * WEEK_US, 3 * WEEK_US, 1));
}

#[test]
fn a_slice_keeps_the_number_that_it_was_made_with() {
    let mut map = map();
    map.learn(found(NOW_US - 3 * DAY_US, NOW_US - 2 * DAY_US, 2, 4));
    map.partitions = 8;
    let old = map.around(NOW_US - 3 * DAY_US, NOW_US);
    assert_eq!(old.partitions, Some(4));
    assert!(map.comes_by_itself(&map.around(NOW_US, NOW_US).chunk(0)));
    assert!(!map.comes_by_itself(&old.chunk(0)), "COPY would make one of eight");
    let week = map.around(0, NOW_US).chunk(7);
    assert_eq!((week.partition, week.partitions, map.comes_by_itself(&week)), (0, Some(1), false));
    assert_eq!(week.space(), Some((i64::MIN, i64::MAX)));
    map.learn(found(0, WEEK_US, 3, 8));
    assert!(map.comes_by_itself(&map.around(0, NOW_US).chunk(0)), "a slice of time is taken over");
    assert_eq!(map.around(0, NOW_US).chunk(7).space(), Some((i64::MIN, i64::from(SPACE_MAX / 8))));
    map.learn(found(5 * WEEK_US, 6 * WEEK_US, 0, 1));
    assert_eq!(map.around(5 * WEEK_US, NOW_US), slice(5 * WEEK_US, 6 * WEEK_US, 1));
}

#[test]
fn what_somebody_else_cut_is_not_known() {
    let mut map = map();
    map.learn(found(0, DAY_US, 1, 4));
    map.learn(found(0, DAY_US, 1, 4));
    assert_eq!(map.around(5, NOW_US), slice(0, DAY_US, 4));
    map.learn(found(0, DAY_US, 1, 8));
    assert_eq!(map.around(5, NOW_US).partitions, None);
    map.learn(found(0, DAY_US, 0, 4));
    assert_eq!(map.around(5, NOW_US).partitions, None, "and does not become so");
    // A week across days.
    map.learn(found(3 * WEEK_US + DAY_US, 3 * WEEK_US + 2 * DAY_US, 0, 4));
    map.learn(found(3 * WEEK_US + 3 * DAY_US, 3 * WEEK_US + 4 * DAY_US, 0, 4));
    map.learn(found(3 * WEEK_US, 4 * WEEK_US, 1, 4));
    let mixed = Slice { from_us: 3 * WEEK_US, to_us: 4 * WEEK_US, partitions: None };
    assert_eq!(map.around(3 * WEEK_US + 6 * DAY_US, NOW_US), mixed);
    assert_eq!((mixed.chunk(u32::MAX / 2).partition, mixed.chunk(0).space()), (0, None));
}

#[test]
fn slices_of_another_width_are_not_overlapped() {
    let mut map = map();
    map.learn(FoundChunk { from_us: NOW_US - DAY_US / 2, to_us: NOW_US + DAY_US / 4, space: None });
    assert_eq!(map.around(NOW_US - 1, NOW_US), slice(NOW_US - DAY_US / 2, NOW_US + DAY_US / 4, 1));
    assert_eq!(map.around(NOW_US + DAY_US / 2, NOW_US), slice(NOW_US + DAY_US / 4, NOW_US + DAY_US, 4));
    assert_eq!(map.around(NOW_US - DAY_US + 1, NOW_US), slice(NOW_US - DAY_US, NOW_US - DAY_US / 2, 4));
}
