//! How far forecasts are off on real series, and how much of what comes lies in their intervals: `cargo bench --bench forecasts`.
//! Of each series of `../shared/data/real-metrics.ndjson.gz` (CloudWatch's, not part of this repository; or of a file of metrics
//! named as the argument) the buckets of 5 minutes and of an hour are forecast an hour and a day ahead. Each first row has what
//! the answer itself says: the errors of its backtest. `held out` is what the backtest does not see: the answers from places of
//! the last two fifths, twelve hours apart, each of what came before, beside what came.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use tidegate::forecast::{Asked, Errors, Forecast, Method, Seasons, forecast};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const LEVEL: f64 = 0.95;
/// Between two places that are held out from.
const EVERY: i64 = DAY / 2;

type Series = BTreeMap<String, Vec<(i64, f64)>>;

/// What answers were worth: of one series, or the mean of all.
#[derive(Default)]
struct HeldOut {
    /// In steps from a value to the next.
    answered: f64,
    naive: f64,
    inside: usize,
    count: usize,
    answers: u32,
    took: Duration,
}

fn main() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/real-metrics.ndjson.gz");
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let path = named.unwrap_or(real);
    if !path.is_file() {
        println!("skipped: there is no {}", path.display());
        return;
    }
    let series = read(&path);
    for (width, horizon) in [(HOUR, HOUR), (HOUR, DAY), (300, HOUR), (300, DAY)] {
        println!("\nBuckets of {} minutes, {} hours ahead\n", width / 60, horizon / HOUR);
        println!(
            "| series | method | MAE: smoothing, seasonal, naive | MASE | sMAPE % | held out, MASE: answer, naive | in the interval |"
        );
        println!("|---|---|---|---|---|---|---|");
        let mut all = HeldOut::default();
        let mut measured = 0;
        for (name, samples) in &series {
            let values = buckets(samples, width);
            let asked = asked(width, horizon);
            let Some(answer) = forecast(&values, &asked) else {
                println!("| {name} | too short | | | | | |");
                continue;
            };
            let held = held_out(&values, width, &asked);
            println!("{}", row(name, &answer, &held));
            measured += 1;
            all.answered += held.answered;
            all.naive += held.naive;
            all.inside += held.inside;
            all.count += held.count;
            all.answers += held.answers;
            all.took += held.took;
        }
        let of = f64::from(measured.max(1));
        println!(
            "| all, {} answers of {:.0} ms | | | | | {:.3}, {:.3} | {:.1} % |",
            all.answers,
            all.took.as_secs_f64() * 1000.0 / f64::from(all.answers.max(1)),
            all.answered / of,
            all.naive / of,
            100.0 * all.inside as f64 / all.count.max(1) as f64
        );
    }
}

/// Samples by name and asset, in order of time.
fn read(path: &Path) -> Series {
    let mut text = String::new();
    let file = std::fs::File::open(path).expect("the file opens");
    GzDecoder::new(file).read_to_string(&mut text).expect("the file is gzip of text");
    let mut series = Series::new();
    for line in text.lines() {
        let item: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let at: jiff::Timestamp = text("timestamp").parse().expect("a sample has a time");
        let value = item["value"].as_f64().expect("a sample has a value");
        let (metric, asset) = (text("metric_name"), text("asset_id"));
        let name = if metric == asset { metric } else { format!("{metric} {asset}") };
        series.entry(name).or_default().push((at.as_second(), value));
    }
    series.values_mut().for_each(|samples| samples.sort_by_key(|sample| sample.0));
    series
}

/// Their means by bucket.
fn buckets(samples: &[(i64, f64)], width: i64) -> Vec<Option<f64>> {
    let mut means: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for (at, value) in samples {
        let (sum, count) = means.entry(at.div_euclid(width)).or_default();
        *sum += value;
        *count += 1.0;
    }
    let (Some((first, _)), Some((last, _))) = (means.first_key_value(), means.last_key_value()) else {
        return Vec::new();
    };
    (*first..=*last).map(|bucket| means.get(&bucket).map(|(sum, count)| sum / count)).collect()
}

fn asked(width: i64, horizon: i64) -> Asked {
    let buckets = |time: i64| usize::try_from(time / width).expect("a time is not negative");
    Asked { horizon: buckets(horizon), seasons: Seasons::Any(vec![buckets(DAY), buckets(7 * DAY)]), level: LEVEL }
}

fn held_out(values: &[Option<f64>], width: i64, asked: &Asked) -> HeldOut {
    let every = usize::try_from(EVERY / width).expect("a width is not negative");
    let steps = values.windows(2).filter_map(|pair| Some((pair[1]? - pair[0]?).abs()));
    let (sum, count) = steps.fold((0.0, 0.0), |(sum, count), step| (sum + step, count + 1.0));
    let step = sum / count;
    let mut held = HeldOut::default();
    for origin in (values.len() * 3 / 5..=values.len() - asked.horizon).step_by(every) {
        // As a reader would be answered: from the last bucket with a value on.
        let known = values[..origin].iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        let asked = Asked { horizon: asked.horizon + origin - known, ..asked.clone() };
        let begun = Instant::now();
        let Some(answer) = forecast(&values[..known], &asked) else { continue };
        held.took += begun.elapsed();
        held.answers += 1;
        let stays = values[known - 1].expect("the last one known has a value");
        for (expected, came) in answer.expected.iter().zip(&values[known..]).skip(origin - known) {
            let (Some(came), Some(value), Some(lower), Some(upper)) =
                (came, expected.value, expected.lower, expected.upper)
            else {
                continue;
            };
            held.answered += (value - came).abs() / step;
            held.naive += (stays - came).abs() / step;
            held.inside += usize::from(lower <= *came && *came <= upper);
            held.count += 1;
        }
    }
    held.answered /= held.count.max(1) as f64;
    held.naive /= held.count.max(1) as f64;
    held
}

fn row(name: &str, answer: &Forecast, held: &HeldOut) -> String {
    let tried = answer.backtest;
    let method = match answer.method {
        Method::Smoothing if answer.season.is_some() => "smoothing, season",
        Method::Smoothing => "smoothing",
        Method::SeasonalNaive => "seasonal naive",
        Method::Naive => "naive",
    };
    let figures = |figure: fn(&Errors) -> Option<f64>| {
        let of = [Some(tried.smoothing), tried.seasonal_naive, Some(tried.naive)];
        of.map(|errors| errors.as_ref().and_then(figure).map_or("-".into(), short)).join(", ")
    };
    format!(
        "| {name} | {method} | {} | {} | {} | {:.3}, {:.3} | {:.1} % |",
        figures(|errors| errors.mae),
        figures(|errors| errors.mase),
        figures(|errors| errors.smape),
        held.answered,
        held.naive,
        100.0 * held.inside as f64 / held.count.max(1) as f64
    )
}

/// Four digits.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
