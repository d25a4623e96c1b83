//! GET /: a page for people. One document with its style and script, of the files in `console/`, so that nothing else is asked
//! for and the policy can name both by their hashes.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::response::{Body, answer, full};

const STYLE: &str = concat!(
    include_str!("console/vendor/uPlot.min.css"),
    "\n",
    include_str!("console/style.css"),
    include_str!("console/chart.css"),
    include_str!("console/overview.css"),
);
/// One script in the page: what a file declares, those behind it use.
const SCRIPT: &str = concat!(
    include_str!("console/page.js"),
    // Its licence goes with every copy of it.
    "/*\n",
    include_str!("console/vendor/uPlot.LICENSE"),
    "\n*/\n",
    include_str!("console/vendor/uPlot.iife.min.js"),
    include_str!("console/times.js"),
    include_str!("console/json.js"),
    include_str!("console/api.js"),
    include_str!("console/exposition.js"),
    include_str!("console/checks.js"),
    include_str!("console/overview.js"),
    include_str!("console/books.js"),
    include_str!("console/list.js"),
    include_str!("console/tree.js"),
    include_str!("console/graph.js"),
    include_str!("console/events.js"),
    include_str!("console/histogram.js"),
    include_str!("console/export.js"),
    include_str!("console/metrics.js"),
    include_str!("console/points.js"),
    include_str!("console/chart.js"),
    include_str!("console/anomalies.js"),
    include_str!("console/readout.js"),
    include_str!("console/correlations.js"),
    include_str!("console/streams.js"),
    include_str!("console/groups.js"),
    include_str!("console/reset.js"),
    include_str!("console/raw.js"),
    include_str!("console/dead_letters.js"),
    include_str!("console/forms.js"),
    include_str!("console/organizations.js"),
    include_str!("console/users.js"),
    include_str!("console/keys.js"),
    include_str!("console/audit.js"),
    include_str!("console/admin.js"),
    include_str!("console/inventory.js"),
    include_str!("console/timeline.js"),
    include_str!("console/storage.js"),
    include_str!("console/tail.js"),
    include_str!("console/alone.js"),
    include_str!("console/address.js"),
    include_str!("console/begin.js"),
);

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let filled = |tag: &str, text: &str| format!("<{tag}>\n{text}</{tag}>");
    include_str!("console/page.html")
        .replace("<style></style>", &filled("style", STYLE))
        .replace("<script></script>", &filled("script", SCRIPT))
});

/// What the page may do: run its own script and style, and ask the server that it is from.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(format!("\n{text}"))));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    HeaderValue::try_from(policy).expect("ASCII")
});

pub fn console() -> Response<Body> {
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", full(PAGE.as_str()));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_its_style_and_its_script() {
        assert_eq!(PAGE.matches("<script>").count(), 1, "one, whose hash is that of the policy");
        assert_eq!(PAGE.matches("<style>").count(), 1);
        assert!(
            PAGE.contains(&format!("<script>\n{SCRIPT}</script>"))
                && PAGE.contains(&format!("<style>\n{STYLE}</style>"))
        );
        // What the policy would not let run.
        for forbidden in [" style=", " onclick=", " onsubmit=", "javascript:", "innerHTML", "eval("] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
    }
}
