//! The console's overview: whether it is well, as it goes, and what to do where it is not.

use serde_json::json;

use crate::chromium::Page;
use crate::console::{enter, fits, open, rows, says, test};
use crate::env::{Env, Test, TestResult};
use crate::groups::{commit, filled, make, take};
use crate::samples::array;

pub const TESTS: &[Test] = &[test("it_says_whether_it_is_well", it_says_whether_it_is_well)];

/// What a line says, with its mark and what to do.
fn line(page: &mut Page, name: &str) -> String {
    let found = format!("[...$('checks').children].find(li => li.dataset.check === {})", json!(name));
    page.until(&format!("Boolean({found})"));
    let texts = page.value(&format!("[...{found}.children].map(e => e.textContent).join(' | ')"));
    texts.as_str().unwrap().to_owned()
}

fn line_says(page: &mut Page, name: &str, text: &str) {
    page.until(&format!(
        "[...$('checks').children].find(li => li.dataset.check === {})?.textContent.includes({}) ?? false",
        json!(name),
        json!(text)
    ));
}

fn it_says_whether_it_is_well(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    filled(client, "a b&c", 6);
    make(client, "a b&c", json!({ "name": "<i>g</i>" }));
    let mut page = open(client);
    page.value("location.hash = '#overview'");
    page.until("view === 'overview' && !restoring");
    let group = "<i>g</i> of a b&c lags most: ";
    line_says(&mut page, "Consumer groups", &format!("1 group; {group}6 events"));
    assert!(line(&mut page, "Conservation").starts_with("● well | Conservation | every item is accounted for"));
    line_says(&mut page, "Jobs", "fail");
    line_says(&mut page, "Organizations", ": ");
    for name in ["Readiness", "Rate", "Latency", "Refusals", "Spool", "Rollups", "Nodes", "Disk"] {
        line(&mut page, name);
    }

    // As it goes, under the hands of somebody who is at a link.
    let link = "[...$('checks').children].find(li => li.dataset.check === 'Consumer groups').querySelector('a')";
    page.value(&format!("window.held = {link}; held.focus()"));
    let four = take(client, "a b&c", "<i>g</i>", "limit=4");
    commit(client, "a b&c", "<i>g</i>", &four).expect(200);
    line_says(&mut page, "Consumer groups", &format!("{group}2 events"));
    assert_eq!(page.value(&format!("document.activeElement === held && {link} === held")), true);
    // And while the page asks once more whose key it is.
    page.value(
        "window.asked = fetch; window.fetch = (url, ...more) => `${url}`.includes('/v1/keys/self') \
         ? new Promise(done => { window.goOn = () => done(asked(url, ...more)); }) : asked(url, ...more)",
    );
    page.value("location.hash = '#overview?tz=local'");
    page.until("Boolean(window.goOn)");
    page.value("poll()");
    assert_eq!(page.value(&format!("document.activeElement === held && !held.hidden && {link} === held")), true);
    page.value("window.fetch = asked; goOn()");
    page.until("view === 'overview' && !restoring");
    fits(&mut page, &format!("console-overview-{}", env.engine.as_str()));
    page.resize(1280, 900);

    // What was refused while it is looked at, and where it is seen.
    assert!(page.text("#overview-note").ends_with('.'));
    client.events(array(["{}"])).expect(422);
    let dead = "[...$('checks').children].find(li => li.dataset.check === 'Dead letters')";
    page.until(&format!("/^(▲ look|■ act)Dead letters[1-9]/.test({dead}.textContent)"));
    says(&mut page, "overview-note", "dead letters");
    assert!(line(&mut page, "Dead letters").contains("docs/runbook/TidegateDeadLetter"));
    page.value(&format!("{dead}.querySelector('a').focus()"));
    page.press("Enter");
    rows(&mut page, "dead", 1);
    page.value("history.back()");
    page.until("view === 'overview' && !restoring");
    page.value(&format!("{link}.focus()"));
    page.press("Enter");
    says(&mut page, "parked-title", "Parked events of <i>g</i>");
    assert_eq!(page.value("document.querySelectorAll('#checks i').length"), 0, "names are text, and no markup");

    // With no key there is what is for everybody.
    page.value("location.hash = '#overview'");
    page.until("view === 'overview' && !restoring");
    enter(&mut page, "#forget");
    line_says(&mut page, "Consumer groups", "not without a key of it");
    page.until("![...$('checks').children].some(li => li.dataset.check === 'Organizations')");
    line_says(&mut page, "Conservation", "every item is accounted for");

    // What is not well, whatever this server is like.
    let zero = "tidegate_database_available 1\n";
    for (check, now, state, runbook) in [
        ("Spool", "tidegate_spool_records 3\ntidegate_database_available 1\n", "look", "TidegateSpoolGrows"),
        ("Spool", "tidegate_spool_drain_failing 1\n", "act", "TidegateSpoolDoesNotDrain"),
        ("Refusals", "tidegate_http_requests_total{route=\"}\\\" 1\",status=\"503\"} 2\n", "act", "TidegateRefuses"),
        ("Conservation", "tidegate_items_received_total 2\ntidegate_items_committed_total 1\n", "act", "TidegateBooks"),
        ("Rollups", "tidegate_rollup_lag_seconds{level=\"metrics_1m\"} 600\n", "look", "TidegateRollupsBehind"),
        (
            "Latency",
            "tidegate_batch_write_seconds_bucket{le=\"2\"} 98\ntidegate_batch_write_seconds_bucket{le=\"5\"} 100\n\
             tidegate_batch_write_seconds_bucket{le=\"+Inf\"} 100\n",
            "look",
            "TidegateSlowWrites",
        ),
        ("Disk", "tidegate_disk_free_bytes 5000\n", "act", "TidegateDiskFull"),
        ("Nodes", "tidegate_nodes{state=\"ready\"} 2\ntidegate_nodes{state=\"lost\"} 1\n", "look", "TidegateNodeLost"),
        ("Jobs", "tidegate_job_failures_total{job_name=\"rollups\"} 1\n", "look", "TidegateJobFails"),
        (
            "Consumer groups",
            "tidegate_group_oldest_unread_seconds{tenant=\"t\",stream=\"s\",group=\"g\"} 4000\n",
            "look",
            "TidegateGroupBehind",
        ),
    ] {
        let found = page.value(&format!(
            "(() => {{ const line = CHECKS[{}]({{ ready: {{ status: 'ready' }}, now: parseExposition({}), then: parseExposition({}), \
             passed: 60, jobs: null, sees: true }}); return [line.state, line.runbook]; }})()",
            json!(check),
            json!(now),
            json!(zero)
        ));
        assert_eq!(found, json!([state, runbook]), "{check}: {now}");
    }
    page.assert_clean();
    Ok(())
}
