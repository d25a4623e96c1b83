//! The console's inventory: services, deployments on a time line, assets.

use serde_json::json;

use crate::console::{enter, fits, follow, open, rows, says, test};
use crate::env::{Env, Test, TestResult, until};
use crate::projections::{list, told};
use crate::samples::array;

pub const TESTS: &[Test] = &[test("services_deployments_and_assets", services_deployments_and_assets)];

fn services_deployments_and_assets(env: &Env) -> TestResult {
    let tidegate = env.share();
    let client = &tidegate.client;
    let deployment = |id: &str, service: &str, version: &str| json!({ "deployment_id": id, "service": service, "version": version, "environment": "production", "deployed_by": "ada" });
    let events = [
        told(
            "service.registered",
            90_000,
            &json!({ "service": "checkout", "owner": "ada", "team": "payments", "tags": ["tier-1"] }),
        ),
        told("deployment.started", 80_000, &deployment("d-1", "checkout", "2.4.0")),
        told("deployment.succeeded", 79_000, &json!({ "deployment_id": "d-1" })),
        told("deployment.started", 40_000, &deployment("d-2", "checkout", "2.5.0")),
        told(
            "deployment.failed",
            37_000,
            &json!({ "deployment_id": "d-2", "error": "<i>readiness</i> probe timed out" }),
        ),
        told("deployment.started", 60, &deployment("d-3", "basket <b>", "1.0.0")),
        told(
            "asset.registered",
            50_000,
            &json!({ "asset_id": "pump-7", "name": "Pump 7", "type": "pump", "team": "water" }),
        ),
    ];
    client.events(array(events)).accepted(7, 0);
    until("they are told of", || {
        let counts = ["services", "deployments", "assets"].map(|what| list(client, &format!("/v1/{what}")).len());
        (counts == [2, 3, 1]).then_some(())
    });
    let mut page = open(client);
    follow(&mut page, "#inventory");
    rows(&mut page, "services", 2);
    rows(&mut page, "deployments", 3);
    rows(&mut page, "assets", 1);
    says(&mut page, "timeline-note", "3 deployments: 1 started, 1 succeeded, 1 failed.");
    assert_eq!(page.texts("#timeline .name"), ["basket <b> · production", "checkout · production"]);
    assert_eq!(page.texts("#assets tbody td")[..3], ["pump-7", "Pump 7", "pump"]);
    // Bars stand where their times are: of the first lane at the end, of the second in its order.
    let left = |page: &mut crate::chromium::Page, bar: &str| {
        page.value(&format!("document.querySelector('#timeline {bar}').getBoundingClientRect().left")).as_f64().unwrap()
    };
    let (first, second, last) =
        (left(&mut page, ".succeeded"), left(&mut page, ".failed"), left(&mut page, ".started"));
    assert!(first < second && second < last, "{first} {second} {last}");

    // By keyboard along the time line, and into one.
    page.value("document.querySelector('#timeline').focus()");
    page.press("ArrowRight");
    says(&mut page, "timeline-note", "checkout · 2.4.0 · production succeeded after 16.7 min.");
    page.press("ArrowRight");
    says(&mut page, "timeline-note", "checkout · 2.5.0 · production failed");
    page.press("Enter");
    says(&mut page, "detail", "<i>readiness</i> probe timed out");
    fits(&mut page, &format!("console-inventory-{}", env.engine.as_str()));
    page.resize(1280, 900);
    enter(&mut page, "#detail .back button");
    assert_eq!(page.value("document.activeElement.id"), "timeline", "back where it was chosen");

    // A service with what became of it lately, and what is asked for in the address.
    enter(&mut page, "#services tbody tr:last-child button");
    says(&mut page, "detail", "its last deployments");
    page.value("Object.assign(document.querySelector('#inventory-filter').elements.status, { value: 'failed' }).value");
    page.value("document.querySelector('#inventory-filter').requestSubmit()");
    rows(&mut page, "deployments", 1);
    assert_eq!(page.value("document.querySelectorAll('#timeline .bar').length"), 1);
    assert_eq!(page.value("location.hash"), "#inventory?i.status=failed");
    // From an asset to its events.
    enter(&mut page, "#assets tbody button");
    enter(&mut page, "#detail a");
    page.until("location.hash === '#events?e.asset_id=pump-7' && !restoring");
    assert_eq!(page.value("document.querySelectorAll('b, #timeline i').length"), 0, "names are text, and no markup");
    page.assert_clean();
    Ok(())
}
