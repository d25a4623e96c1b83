//! The console for people who hear it, or see little of it: axe-core (tests/vendor/axe-core) finds nothing wrong in any view, at
//! two widths, light and dark, with data in it and something chosen.

use serde_json::json;

use crate::chromium::{self, Page};
use crate::client::Client;
use crate::console::{enter, follow, open, says};
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::groups::{filled, make, tell};
use crate::projections::told;
use crate::samples::{array, event_with, metric_with};

/// The page is the same whatever stores what it shows.
pub const TESTS: &[Test] = &[Test {
    name: "axe_finds_nothing_wrong",
    engines: &[Engine::Postgres],
    run: axe_finds_nothing_wrong,
    missing: chromium::missing,
}];

/// Run from outside, as the page's policy lets no script in.
const AXE: &str = include_str!("../vendor/axe-core/axe.min.js");

/// What axe finds in the page as it stands, by all its rules or by these: how grave it is, by which rule, where.
fn found(page: &mut Page, rules: Option<&str>) -> Vec<String> {
    if page.value("typeof axe") != "object" {
        page.value(&format!("{AXE}; 0"));
    }
    let only = rules.map_or(String::new(), |rules| format!(", runOnly: [{}]", json!(rules)));
    let found = page.value(&format!(
        "axe.run(document, {{ resultTypes: ['violations']{only} }}).then(all => all.violations.flatMap(v => \
         v.nodes.map(n => `${{v.impact}} ${{v.id}} at ${{n.target.flat().join(' ')}}: ${{n.failureSummary}}`)))"
    ));
    serde_json::from_value(found).unwrap()
}

/// The same at both widths, light and dark: what the scheme changes are colours.
fn found_in(page: &mut Page, view: &str, all: &mut Vec<String>) {
    for (width, height) in [(1280, 900), (360, 740)] {
        page.resize(width, height);
        for (scheme, rules) in [("light", None), ("dark", Some("color-contrast"))] {
            page.prefer(scheme);
            all.extend(found(page, rules).iter().map(|problem| format!("{view}, {width}, {scheme}: {problem}")));
        }
    }
    page.resize(1280, 900);
}

/// Something for every view.
fn fill(client: &Client) {
    filled(client, "orders", 6);
    make(client, "orders", json!({ "name": "billing" }));
    tell(client, "orders", "billing", "park", json!({ "offset": 0, "reason": "no such customer" })).expect(200);
    let of = |n: usize, severity: &str| {
        event_with(n, &format!(r#""correlation_id":"one","asset_id":"pump","severity":"{severity}""#))
    };
    client.events(array([of(1, "info"), of(2, "error"), of(3, "warning")])).accepted(3, 0);
    client.events(array([event_with(4, r#""timestamp":"yesterday""#)])).expect(422);
    let samples = (0..40).map(|n| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(n + 2);
        metric_with(if n % 2 == 0 { "pump" } else { "fan" }, &format!(r#""value":{},"timestamp":"{at}""#, 5 + n % 7))
    });
    client.metrics(array(samples)).accepted(40, 0);
    let deployment =
        json!({ "deployment_id": "d-1", "service": "checkout", "version": "2.4.0", "environment": "production" });
    client
        .events(array([
            told("service.registered", 9_000, &json!({ "service": "checkout", "owner": "ada", "team": "payments" })),
            told("asset.registered", 5_000, &json!({ "asset_id": "pump-7", "name": "Pump 7", "type": "pump" })),
            told("deployment.started", 8_000, &deployment),
            told("deployment.failed", 7_000, &json!({ "deployment_id": "d-1", "error": "it is not ready" })),
        ]))
        .accepted(4, 0);
    until("what follows from it is there", || {
        let there = ["/v1/deployments", "/v1/services", "/v1/assets?type=pump", "/v1/correlations"];
        there.iter().all(|path| client.get(path).expect(200)["data"][0].is_object()).then_some(())
    });
}

/// Each view with what is chosen in it, and what is there then.
const VIEWS: [(&str, &str, &str); 10] = [
    ("#all", "", "document.querySelector('#dead').tBodies[0].rows.length"),
    ("#overview", "", "$('checks').children.length > 5"),
    ("#events?e.asset_id=pump", "#events tbody button", "document.querySelector('#detail .graph .node')"),
    (
        "#metrics?m.draw=trend&m.compare=1d",
        "",
        "document.querySelector('#chart canvas') && $('chart-values').tBodies[0].rows.length",
    ),
    ("#correlations", "#correlations tbody button", "document.querySelector('#detail .tree')"),
    ("#streams?s.stream=orders&s.group=billing", "#parked tbody button", "document.querySelector('#detail pre')"),
    (
        "#dead",
        "#dead tbody button",
        "(document.querySelector('#detail details') ?? {}).open = Boolean(document.querySelector('#detail mark'))",
    ),
    (
        "#inventory",
        "#deployments tbody button",
        "document.querySelector('#timeline .bar') && document.querySelector('#detail .fields')",
    ),
    ("#storage", "#relations tbody button", "document.querySelector('#detail .fields')"),
    ("#admin", "#key-make", "document.querySelector('#key-new') && $('audit').tBodies[0].rows.length"),
];

fn axe_finds_nothing_wrong(env: &Env) -> TestResult {
    let tidegate = env.share();
    fill(&tidegate.client);
    let operator = tidegate.with(&env.key("default", "ingest,read,consume,admin,operator"));
    let mut problems = Vec::new();

    let mut stranger = Page::new(1280, 900);
    stranger.open(&format!("{}/", tidegate.client.url()));
    says(&mut stranger, "streams-note", "Sign in, or enter an API key");
    found_in(&mut stranger, "signing in", &mut problems);

    let mut page = open(&operator);
    for (link, choose, there) in VIEWS {
        follow(&mut page, link);
        if !choose.is_empty() {
            enter(&mut page, choose);
        }
        page.until(&format!("Boolean({there})"));
        found_in(&mut page, link, &mut problems);
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));

    // It would have found them: a field that nothing names, and text that is hardly seen.
    page.value(
        "const bad = el('p', 'hardly seen'); bad.style.color = '#888'; bad.style.background = '#999'; \
         $('admin').append(bad, el('input', null, { id: 'unnamed' })); 0",
    );
    let problems = found(&mut page, None);
    assert!(problems.iter().any(|p| p.starts_with("critical label at #unnamed: ")), "{problems:?}");
    assert!(problems.iter().any(|p| p.starts_with("serious color-contrast at ")), "{problems:?}");
    assert_eq!(problems.len(), 2, "{problems:?}");
    page.assert_clean();
    stranger.assert_clean();
    Ok(())
}
