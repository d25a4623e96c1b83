//! The console's chart of metrics: several series, by pointer and by keyboard, and what is in the address of it.

use serde_json::{Value, json};

use crate::chromium::Page;
use crate::console::{enter, enter_button, fits, follow, open, says, test};
use crate::correlations_rules::{event, metrics, series as usual_but};
use crate::derived::{hours_ago, settled};
use crate::env::{Env, Test, TestResult};
use crate::samples::array;

pub const TESTS: &[Test] = &[test("several_series_in_one_chart", several_series_in_one_chart)];

/// A sample of a series some minutes ago.
fn sample(asset: &str, name: &str, minutes: i64, value: f64) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
    format!(
        r#"{{"timestamp":"{at}","asset_id":"{asset}","metric_type":"gauge","metric_name":"{name}","value":{value:?}}}"#
    )
}

fn choose(page: &mut Page, field: &str, value: &str) {
    let field = format!("document.querySelector('#series').elements[{}]", json!(field));
    page.value(&format!("{field}.value = {}; {field}.dispatchEvent(new Event('change'))", json!(value)));
}

/// The option of a series, by how its text begins.
fn series(page: &mut Page, text: &str) -> String {
    let option = format!("[...$('series').elements.series.options].find(o => o.text.startsWith({}))", json!(text));
    page.until(&format!("Boolean({option})"));
    page.value(&format!("{option}.value")).as_str().unwrap().to_owned()
}

/// Whether anything is drawn in the colour of a line.
fn is_drawn(page: &mut Page, line: usize) -> Value {
    is_drawn_in(page, &format!("ofLineColour({line})"))
}

/// Whether anything is drawn in a colour, or what a canvas makes of it.
fn is_drawn_in(page: &mut Page, colour: &str) -> Value {
    page.value(&format!(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {{ \
         const canvas = document.querySelector('#chart canvas'), of = [1, 3, 5].map(n => parseInt({colour}.slice(n, n + 2), 16)), \
         data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
         let found = 0; \
         for (let at = 0; at < data.length; at += 4) \
           if (data[at + 3] > 250 && of.every((v, n) => Math.abs(v - data[at + n]) < 5)) found++; \
         done(found > 30); }})))"
    ))
}

fn several_series_in_one_chart(env: &Env) -> TestResult {
    // Of its own: what follows from hours that are over is made in its turn.
    let tidegate = env.serve();
    let client = &tidegate.client;
    let hour = hours_ago(3);
    metrics(client, hour, "boiler", "heat", &usual_but(100.0));
    let error = |n: u64| event(n, hour + 60, "m", "t", r#","asset_id":"boiler","severity":"error""#);
    client.events(array([error(1), error(2)])).accepted(2, 0);
    let week = 7 * 24 * 60;
    // Of eighths: their sums are the same in any order, which jobs and the trial do not share.
    let wave = |n: i64| ((20.0 + 8.0 * (n as f64 / 25.0).sin()) * 8.0).round() / 8.0;
    // Several of each minute, so that the percentiles are not all the mean.
    let of_pump = (2..180).flat_map(|n| (0..4).map(move |k| sample("pump", "latency", n, wave(n) + f64::from(k * k))));
    let before = (2..180).map(|n| sample("pump", "latency", n + week, 7.5));
    let of_fan = (2..180).map(|n| sample("<b>fan</b>", "latency", n, 30.0 + (n % 7) as f64));
    let speed = (2..180).map(|n| sample("fan", "speed", n, 1500.0 + n as f64));
    let items = of_pump.chain(before).chain(of_fan).chain(speed).collect::<Vec<_>>();
    client.metrics(array(&items)).accepted(items.len() as u64, 0);

    let mut page = open(client);
    page.until("!restoring");
    page.value("location.hash = '#metrics?m.range=24h'");
    page.until("view === 'metrics' && !restoring");
    says(&mut page, "metrics-note", " of 5m.");
    let pump = series(&mut page, "latency · pump");
    choose(&mut page, "series", &pump);
    says(&mut page, "metrics-note", " of 5m.");
    page.until("document.querySelector('#chart-values tbody td')?.textContent.startsWith('latency · pump') ?? false");
    let told = "(document.querySelector('#chart .u-wrap')?.getAttribute('aria-label') ?? '')";
    let whole = page.value(told).as_str().unwrap().to_owned();
    assert!(whole.starts_with("latency · pump · gauge: mean and percentiles from "), "{whole}");
    assert_eq!(is_drawn(&mut page, 0), true);
    assert_eq!(is_drawn(&mut page, 1), false);

    // Another beside it, which has a scale of its own, and a third whose name is no markup.
    for text in ["speed · fan", "latency · <b>fan</b>"] {
        enter(&mut page, "#series-add");
        says(&mut page, "metrics-note", "choose the next one");
        let next = series(&mut page, text);
        choose(&mut page, "series", &next);
        page.until(&format!("{told}.includes({})", json!(text)));
    }
    assert_eq!(page.value("document.querySelectorAll('#chart-values tbody tr').length"), 3);
    for line in 0..3 {
        assert_eq!(is_drawn(&mut page, line), true, "{line}");
    }
    let three = page.value("location.hash").as_str().unwrap().to_owned();
    assert!(three.contains("m.with=") && three.contains("m.series="), "{three}");

    // A week before, and the trend.
    choose(&mut page, "compare", "7d");
    page.until(&format!("{told}.includes('A week before the last mean was 7.5.')"));
    choose(&mut page, "draw", "trend");
    page.until(&format!("/Its trend is -?[0-9.]+ a day \\(95 %: /.test({told})"));
    fits(&mut page, &format!("console-chart-{}", env.engine.as_str()));
    page.resize(1280, 900);
    // Of so short a history a quarter of an hour is foreseen, not of a day.
    choose(&mut page, "draw", "forecast");
    says(&mut page, "metrics-note", "too_few_points");
    choose(&mut page, "range", "1h");
    page.until(&format!("/Its forecast is -?[0-9.]+ \\(95 %: -?[0-9.]+ to -?[0-9.]+\\) at /.test({told})"));
    assert_eq!(page.value("chart.to > Date.now() && chart.from < Date.now() - 3000e3"), true, "past and future");
    assert!(page.text("#chart-values thead").contains("forecast"));
    fits(&mut page, &format!("console-forecast-{}", env.engine.as_str()));
    page.resize(1280, 900);
    choose(&mut page, "draw", "trend");
    choose(&mut page, "range", "24h");
    // Of this range: what the hour before it said is still there until then.
    says(&mut page, "metrics-note", " of 5m.");
    page.until(&format!("/Its trend is /.test({told})"));

    // By arrows along the buckets, and by Shift and Enter closer to some of them: a finer level.
    page.value("document.querySelector('#chart').focus()");
    page.value("chartKey(new KeyboardEvent('keydown', { key: 'Home' }))");
    says(&mut page, "chart-note", "latency · pump · gauge: mean ");
    let first = page.text("#chart-at");
    assert!(first.starts_with("At ") && first.ends_with("(UTC)"), "{first}");
    page.press("ArrowRight");
    page.until(&format!("document.querySelector('#chart-at').textContent > {}", json!(first)));
    page.value(
        "for (let n = 0; n < 9; n++) chartKey(new KeyboardEvent('keydown', { key: 'ArrowRight', shiftKey: true }))",
    );
    page.until("document.querySelector('#chart .u-select').getBoundingClientRect().width > 2");
    page.press("Enter");
    says(&mut page, "metrics-note", " of 1m. From ");
    let close = page.value("location.hash").as_str().unwrap().to_owned();
    assert!(close.contains("m.from=") && close.contains("m.to="), "{close}");
    assert_eq!(page.value("chart.to - chart.from"), 45 * 60 * 1000, "nine buckets of five minutes");
    fits(&mut page, &format!("console-chart-close-{}", env.engine.as_str()));
    page.resize(1280, 900);

    // By dragging.
    page.value(
        "(() => { const over = document.querySelector('#chart .u-over'), r = over.getBoundingClientRect(), \
         at = (type, part, on) => on.dispatchEvent(new MouseEvent(type, { bubbles: true, button: 0, buttons: 1, movementX: 1, \
           clientX: r.left + r.width * part, clientY: r.top + 20 })); \
         window.spanned = chart.to - chart.from; \
         at('mousemove', .25, over); at('mousedown', .25, over); at('mousemove', .75, over); at('mouseup', .75, document); })()",
    );
    page.until("Math.abs((chart.to - chart.from) / spanned - .5) < .02");
    assert_ne!(page.value("location.hash"), json!(close));
    page.value("history.back()");
    page.until(&format!("chart.to - chart.from === spanned && location.hash === {} && !restoring", json!(close)));
    // All of it, as at first.
    page.value("document.querySelector('#chart').focus()");
    page.press("Escape");
    says(&mut page, "metrics-note", " of 5m.");
    assert!(!page.value("location.hash").to_string().contains("m.from="));
    enter_button(&mut page, "#chart-looks", "Closer");
    says(&mut page, "metrics-note", " From ");

    // Somebody else follows the link, and takes one of them out.
    let mut other = open(client);
    follow(&mut other, &close);
    other.until("document.querySelectorAll('#chart-values tbody tr').length === 3");
    assert_eq!(other.value("chart.to - chart.from"), 45 * 60 * 1000);
    enter(&mut other, "#chart-values tbody tr:last-child button");
    other.until("document.querySelectorAll('#chart-values tbody tr').length === 2");
    assert!(!other.value(told).to_string().contains("<b>fan"), "it is gone");
    assert_eq!(other.value("document.querySelectorAll('b').length"), 0, "names are text, and no markup");
    anomalies_are_marked(env, &mut other, hour * 1000);
    other.assert_clean();
    page.assert_clean();
    Ok(())
}

/// An hour of the boiler's heat was at 100 beside two errors, where it is about 12.
fn anomalies_are_marked(env: &Env, page: &mut Page, hour: i64) {
    settled(&env.sql());
    follow(page, "#metrics");
    let (heat, speed) = (series(page, "heat · boiler"), series(page, "speed · fan"));
    choose(page, "series", &speed);
    says(page, "metrics-note", " of 5m.");
    page.until("chart.lines.length === 1 && chart.lines[0].name.startsWith('speed')");
    assert_eq!(page.value("document.querySelector('#anomalies').checkVisibility()"), false, "it has none");
    page.prefer("light");
    page.resize(1280, 900);
    assert_eq!(is_drawn_in(page, "themeColour('bad')"), false);
    choose(page, "series", &heat);
    says(page, "metrics-note", "Marked: 1 anomaly, listed beneath.");
    assert_eq!(is_drawn_in(page, "themeColour('bad')"), true);
    let cells = page.texts("#anomalies tbody td");
    assert!(cells[1].starts_with("heat · boiler"), "{cells:?}");
    assert_eq!(cells[2..], ["mean", "100", "12", "59.356", "2"]);
    let told = page.value("document.querySelector('#chart .u-wrap').getAttribute('aria-label')");
    let text = "mean 100, usually 12 (z 59.356)";
    assert!(told.as_str().unwrap().contains(&format!(" 1 anomaly, the newest at {}: {text}.", cells[0])), "{told}");

    // Where it is pointed at, and nowhere else; by arrows it is said.
    let point = |page: &mut Page, at: i64| {
        page.value(&format!("chart.plot.setCursor({{ left: chart.plot.valToPos({at} / 1e3, 'x'), top: 20 }})"));
        page.text("#chart-at")
    };
    let here = point(page, hour + 600_000);
    assert!(here.contains(" · anomaly of heat · boiler") && here.ends_with(text), "{here}");
    let before = point(page, hour - 3_000_000);
    assert!(before.starts_with("At ") && !before.contains("anomaly"), "{before}");
    page.value("document.querySelector('#chart').focus()");
    page.press("ArrowRight");
    says(page, "chart-note", text);
    fits(page, &format!("console-anomaly-{}", env.engine.as_str()));
    page.resize(1280, 900);
    // From the list to the hour.
    enter(page, "#anomalies tbody button");
    page.until("chart.to - chart.from === 3 * 3600e3");
    assert_eq!(page.value("chart.from"), hour - 3_600_000);
    assert_eq!(page.value("document.activeElement.id"), "chart");
    says(page, "metrics-note", "Marked: 1 anomaly");
}
