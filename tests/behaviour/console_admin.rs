//! The console's administration: keys with their secrets and quotas, people, organizations, and who did what.

use serde_json::json;

use crate::chromium::Page;
use crate::client::Key;
use crate::console::{enter, enter_button, fits, open, rows, says, test};
use crate::env::{Env, Test, TestResult};
use crate::users::{PASSWORD, email, send};

pub const TESTS: &[Test] = &[
    test("an_admin_administers_its_own", an_admin_administers_its_own),
    test("operators_administer_organizations", operators_administer_organizations),
];

/// Fields of a form, as somebody fills them in.
fn fill(page: &mut Page, form: &str, values: &[(&str, &str)]) {
    let shown = format!("document.querySelector({})", json!(form));
    page.until(&format!("{shown}?.checkVisibility() ?? false"));
    for (name, value) in values {
        page.value(&format!("{shown}.elements.{name}.value = {}", json!(value)));
    }
}

/// The row of a table whose first cell has this text.
fn row(page: &mut Page, table: &str, first: &str) -> Vec<String> {
    let found = format!(
        "[...document.querySelector('#{table}').tBodies[0].rows].find(r => r.cells[0].textContent === {})",
        json!(first)
    );
    let failed = format!("document.querySelector('#{table}-note.bad')?.textContent");
    page.until(&format!("(() => {{ const failed = {failed}; if (failed) throw failed; return Boolean({found}); }})()"));
    let cells = page.value(&format!("[...{found}.cells].map(c => c.textContent)"));
    serde_json::from_value(cells).unwrap()
}

fn an_admin_administers_its_own(env: &Env) -> TestResult {
    let tidegate = env.share();
    let admin = tidegate.with(&env.key("default", "ingest,read,consume,admin"));
    let mut page = open(&admin);
    assert_eq!(page.value("document.querySelector('#admin').checkVisibility()"), false, "it is a view of its own");
    page.value("location.hash = '#admin'");
    rows(&mut page, "organizations", 1);
    assert_eq!(row(&mut page, "organizations", env.organization())[2..6], ["active", "as all", "as all", "as all"]);
    for barred in ["#org-make", "#admin-filter"] {
        assert_eq!(page.value(&format!("document.querySelector('{barred}').checkVisibility()")), false, "{barred}");
    }

    // A key, whose text is shown once.
    enter(&mut page, "#key-make");
    fill(&mut page, "#key-new", &[("label", "<b>board</b>"), ("events_per_second", "7")]);
    assert_eq!(page.texts("#key-new fieldset label"), ["ingest", "read", "consume", "admin"], "what it may itself");
    enter(&mut page, "#key-new button");
    page.until("document.querySelector('#key-new [role=status]').textContent.startsWith('Choose what it may')");
    page.value("document.querySelector('#key-new [value=read]').click()");
    enter(&mut page, "#key-new button");
    page.until("document.querySelector('#detail pre.secret')?.textContent.startsWith('tg_') ?? false");
    let text = page.text("#detail pre.secret");
    let made = tidegate.with(&Key { text: text.clone(), id: None });
    assert_eq!(made.get("/v1/keys/self").expect(200)["scopes"], json!(["read"]));
    let cells = row(&mut page, "keys", "<b>board</b>");
    assert_eq!(cells[1..4], ["read", "active", "7 events/s"], "{cells:?}");
    fits(&mut page, &format!("console-admin-key-{}", env.engine.as_str()));
    page.resize(1280, 900);
    page.value("location.hash = '#events'");
    page.until("!restoring && view === 'events'");
    let kept = page.value(&format!("document.documentElement.outerHTML.includes({})", json!(text)));
    assert_eq!(kept, false, "it is nowhere any more");

    // It is changed, followed by another, and revoked.
    page.value("history.back()");
    page.until("!restoring && view === 'admin'");
    enter_button(&mut page, "#keys", "<b>board</b>");
    fill(&mut page, "#key-change", &[("label", "wall"), ("events_per_second", ""), ("bytes_per_second", "9000")]);
    enter(&mut page, "#key-change button");
    says(&mut page, "detail", "It is changed");
    assert_eq!(row(&mut page, "keys", "wall")[3], "9,000 bytes/s");
    enter_button(&mut page, "#detail", "Back to the list");
    enter_button(&mut page, "#keys", "wall");
    fill(&mut page, "#key-rotate", &[("grace", "2h")]);
    enter(&mut page, "#key-rotate button");
    page.until("document.querySelector('#detail pre.secret')?.textContent.startsWith('tg_') ?? false");
    assert_ne!(page.text("#detail pre.secret"), text);
    page.until("[...document.querySelectorAll('#keys tbody td:first-child')].filter(c => c.textContent === 'wall').length === 2");
    enter_button(&mut page, "#detail", "Revoke");
    enter_button(&mut page, "#detail", "Revoke: press again, there is no way back");
    says(&mut page, "detail", "Revoked: it is refused within 5 s.");
    page.until("[...document.querySelectorAll('#keys tbody tr')].filter(r => r.cells[2].textContent === 'revoked').length === 1");

    // People.
    let address = email(env, "ann");
    enter(&mut page, "#user-make");
    fill(&mut page, "#user-new", &[("email", &address), ("password", "too short …")]);
    page.value("document.querySelector('#user-new').noValidate = true");
    enter(&mut page, "#user-new button");
    page.until("document.querySelector('#user-new [role=status]').textContent.startsWith('400 invalid_body')");
    fill(&mut page, "#user-new", &[("password", PASSWORD)]);
    enter(&mut page, "#user-new button");
    says(&mut page, "detail", "The user is made.");
    assert_eq!(row(&mut page, "users", &address)[1..4], ["viewer", "active", "never"]);
    let credentials = json!({ "email": address, "password": PASSWORD });
    send(&admin, "POST", "/v1/sessions", &credentials).expect(201);
    enter_button(&mut page, "#users", &address);
    enter_button(&mut page, "#detail", "End this session");
    enter_button(&mut page, "#detail", "End it: press again");
    says(&mut page, "detail", "The session is ended.");
    says(&mut page, "detail", "None that is good.");
    fill(&mut page, "#user-role", &[("role", "admin")]);
    enter(&mut page, "#user-role button");
    says(&mut page, "detail", "The role is changed");
    enter_button(&mut page, "#detail", "Deactivate");
    enter_button(&mut page, "#detail", "Deactivate: press again, sessions end");
    says(&mut page, "detail", "Deactivated");
    page.until("document.querySelector('#users tbody td:nth-child(3)').textContent === 'deactivated'");
    assert_eq!(row(&mut page, "users", &address)[1], "admin");
    enter_button(&mut page, "#detail", "Activate");
    says(&mut page, "detail", "Active again.");

    // All of it is noted.
    fill(&mut page, "#audit-filter", &[("action", "keys.rotate,keys.revoke")]);
    page.value("document.querySelector('#audit-filter').requestSubmit()");
    rows(&mut page, "audit", 2);
    assert_eq!(page.value("location.hash"), "#admin?a.action=keys.rotate%2Ckeys.revoke");
    assert_eq!(page.texts("#audit tbody td:nth-child(2)"), ["keys.revoke", "keys.rotate"]);
    enter(&mut page, "#audit tbody tr:nth-child(2) button");
    page.until("document.querySelector('#detail .tree')?.checkVisibility() ?? false");
    fits(&mut page, &format!("console-admin-{}", env.engine.as_str()));
    assert_eq!(page.value("document.querySelectorAll('b').length"), 0, "labels are text, and no markup");
    page.assert_clean();
    Ok(())
}

fn operators_administer_organizations(env: &Env) -> TestResult {
    let tidegate = env.share();
    let operator = tidegate.with(&env.key("default", "operator"));
    let mut page = open(&operator);
    page.value("location.hash = '#admin'");
    let slug = format!("{}-made", env.organization());
    enter(&mut page, "#org-make");
    fill(&mut page, "#org-new", &[("name", &format!("{slug} <i>")), ("slug", &slug)]);
    enter(&mut page, "#org-new button");
    says(&mut page, "detail", "It is made.");
    assert_eq!(row(&mut page, "organizations", &slug)[1..3], [format!("{slug} <i>"), "active".to_owned()]);
    fill(&mut page, "#org-kept", &[("events_retention_days", "30")]);
    enter(&mut page, "#org-kept button");
    says(&mut page, "detail", "It is changed.");
    // Others make organizations meanwhile: it need not be the first one.
    page.until(&format!(
        "[...$('organizations').tBodies[0].rows].some(r => r.cells[0].textContent === {} && r.cells[3].textContent === '30 d')",
        json!(slug)
    ));
    // Who goes on while it loads is not called back.
    page.value("window.load = loadAdmin; loadAdmin = () => new Promise(done => { window.loaded = done; })");
    enter_button(&mut page, "#detail", "Show its users, keys and acts");
    page.until("Boolean(window.loaded)");
    page.value("$('key-make').focus(); loadAdmin = window.load; loadAdmin().then(window.loaded)");
    page.value("new Promise(done => setTimeout(done))");
    assert_eq!(page.value("document.activeElement.id"), "key-make");
    page.until(&format!("location.hash === {}", json!(format!("#admin?o.organization={slug}"))));
    rows(&mut page, "keys", 0);
    says(&mut page, "keys-note", "No key.");
    enter(&mut page, "#key-make");
    fill(&mut page, "#key-new", &[("label", "theirs")]);
    page.value("document.querySelector('#key-new [value=ingest]').click()");
    enter(&mut page, "#key-new button");
    rows(&mut page, "keys", 1);
    assert_eq!(row(&mut page, "keys", "theirs")[6], slug);
    fits(&mut page, &format!("console-organizations-{}", env.engine.as_str()));
    page.resize(1280, 900);
    enter_button(&mut page, "#organizations", &slug);
    enter_button(&mut page, "#detail", "Deactivate");
    enter_button(&mut page, "#detail", "Deactivate: press again, its keys stop");
    says(&mut page, "detail", "It is deactivated");
    assert_eq!(operator.get(&format!("/v1/organizations/{slug}")).expect(200)["is_active"], false);
    enter_button(&mut page, "#detail", "Activate");
    says(&mut page, "detail", "It is active again.");

    // Who may not is told so, and sees nothing of it.
    let reader = env.key("default", "read");
    page.value(&format!("document.querySelector('#key').value = {}", json!(reader.text)));
    enter(&mut page, "#key-form button");
    for list in ["organizations", "users", "keys", "audit"] {
        says(&mut page, &format!("{list}-note"), "This key lacks the scope admin.");
        rows(&mut page, list, 0);
    }
    for barred in ["#org-make", "#user-make", "#key-make"] {
        assert_eq!(page.value(&format!("document.querySelector('{barred}').checkVisibility()")), false, "{barred}");
    }
    page.assert_clean();
    Ok(())
}
