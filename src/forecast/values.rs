//! Values of buckets one after another, None where a bucket has none.

/// What is known of a series, oldest first.
pub type Values = [Option<f64>];

/// The newest value.
pub fn newest(values: &Values) -> Option<f64> {
    values.iter().rev().find_map(|value| *value)
}

/// The mean of those that are there.
pub fn mean(values: &Values) -> Option<f64> {
    let (count, sum) = values.iter().flatten().fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

/// The mean distance from a value to the one `back` buckets before it; None where there are no two such.
pub fn mean_step(values: &Values, back: usize) -> Option<f64> {
    let steps: Vec<Option<f64>> =
        values.iter().skip(back).zip(values).map(|(now, before)| Some(((*now)? - (*before)?).abs())).collect();
    mean(&steps)
}

/// The middle of some values; None of none.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    Some(if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) })
}
