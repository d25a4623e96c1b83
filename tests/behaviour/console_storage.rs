//! The console's view of storage: what is there, how it grows, what looks after it.

use crate::console::{enter, fits, follow, open, says, test};
use crate::env::{Engine, Env, Test, TestResult, until};
use crate::samples::{array, event_with};

pub const TESTS: &[Test] = &[test("storage_and_its_growth", storage_and_its_growth)];

fn storage_and_its_growth(env: &Env) -> TestResult {
    let tidegate = env.serve();
    let client = &tidegate.client;
    client.events(array((0..5).map(|n| event_with(n, r#""asset_id":"a""#)))).accepted(5, 0);
    let sql = env.sql();
    let mut page = open(client);
    follow(&mut page, "#storage");
    page.value("showGrowth(null)");
    says(&mut page, "growth", "not known yet");
    let kept = if env.engine == Engine::Timescale { "chunk" } else { "partition" };
    says(&mut page, "storage-note", kept);
    // As the API says it.
    let status = client.get("/v1/lifecycle").expect(200);
    let relations = status["relations"].as_array().unwrap();
    let names: Vec<&str> = relations.iter().map(|relation| relation["relation"].as_str().unwrap()).collect();
    assert_eq!(page.texts("#relations tbody td:first-child"), names);
    assert_eq!(page.texts("#sizes li").len(), names.len());
    // Jobs are there once they have begun.
    until("it shows the jobs that there are", || {
        let jobs = client.get("/v1/lifecycle").expect(200)["jobs"].as_array()?.len();
        page.value("loadStorage()");
        (page.value("document.querySelector('#jobs').tBodies[0].rows.length") == jobs).then_some(())
    });
    assert_eq!(
        page.value("document.querySelector('#rollups').tBodies[0].rows.length"),
        status["rollups"].as_array().unwrap().len()
    );

    // The job notes sizes once: then it leaves these alone.
    until("sizes are noted", || (sql.count("storage_samples") > 0).then_some(()));
    // Three GiB a day, of which events are most; an external database's disk is not seen.
    sql.run(
        "DELETE FROM storage_samples; INSERT INTO storage_samples SELECT now() - d * INTERVAL '1 day', r.relation, (10 - d) * r.step::bigint * 1073741824, NULL \
         FROM generate_series(0, 7) d CROSS JOIN (VALUES ('database', 3), ('events', 2), ('metrics', 1)) r (relation, step)",
    );
    enter(&mut page, "#storage-refresh");
    says(&mut page, "growth", "+3.0 GiB");
    assert_eq!(
        page.texts("#growth dd"),
        ["30.0 GiB", "+3.0 GiB", "events", "–", "not seen from here: the database is an external one"]
    );
    assert_eq!(page.texts("#growth dt")[1], "A day, over 7 days");
    let growth = &client.get("/v1/lifecycle").expect(200)["growth"];
    assert!((growth["bytes_per_day"].as_f64().unwrap() / 3_221_225_472.0 - 1.0).abs() < 1e-6, "{growth}");
    // Of a disk that is seen.
    let shown = |page: &mut crate::chromium::Page, free: &str, days: &str| {
        page.value(&format!(
            "showGrowth(parse('{{\"bytes\":1,\"bytes_per_day\":2147483648,\"days\":7,\"mostly\":null,\"disk_free_bytes\":{free},\"disk_full_in_days\":{days}}}')); \
             0"
        ));
        page.texts("#growth dd").pop().unwrap()
    };
    assert!(shown(&mut page, "42949672960", "20.5").ends_with(", in 20 days"));
    assert_eq!(page.value("document.querySelectorAll('#growth .bad').length"), 1, "soon");
    assert_eq!(shown(&mut page, "42949672960", "20000"), "in more than ten years");

    // One of them whole, by keyboard; and the pictures.
    enter(&mut page, "#storage-refresh");
    says(&mut page, "growth", "not seen from here");
    enter(&mut page, "#relations tbody button");
    says(&mut page, "detail", names[0]);
    fits(&mut page, &format!("console-storage-{}", env.engine.as_str()));
    page.resize(1280, 900);
    enter(&mut page, "#jobs tbody button");
    says(&mut page, "detail", "what its last run did");

    // Not for keys that read alone.
    let reader = env.key("default", "read");
    page.value(&format!("document.querySelector('#key').value = '{}'", reader.text));
    enter(&mut page, "#key-form button");
    says(&mut page, "storage-note", "This key lacks the scope admin.");
    assert_eq!(page.value("document.querySelector('#relations').checkVisibility()"), false);
    page.assert_clean();
    Ok(())
}
