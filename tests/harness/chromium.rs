//! A page in a headless Chromium, over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol): messages of
//! JSON on two pipes, each with a NUL behind it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::env::{DEADLINE, in_time, until};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// A folder in the environment: screenshots are kept there, for people.
const SCREENSHOTS: &str = "TIDEGATE_TEST_SCREENSHOTS";
/// It asks nothing of anybody else, and needs neither a sandbox nor a graphics card.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
];

/// The name of the one that the machine has.
fn name() -> Option<&'static str> {
    let runs = |name: &&&str| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    };
    NAMES.iter().find(runs).copied()
}

pub fn missing() -> Option<String> {
    name().is_none().then(|| format!("none of {} can be run", NAMES.join(", ")))
}

pub struct Page {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    asked: u64,
    session: Option<String>,
    /// What went wrong in the page so far: exceptions that nobody caught, and what its policy did not let it do.
    problems: Vec<String>,
    _profile: TempDir,
}

impl Page {
    /// An empty page as wide and high as this.
    pub fn new(width: u32, height: u32) -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The pipes are its descriptors 3 and 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null", name().expect("it is not missing")]);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display()));
        command.env("HOME", profile.path()).stderr(Stdio::null());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0) {
                let Some(message) = message.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) else { break };
                if tell.send(message).is_err() {
                    break;
                }
            }
        });
        let mut page = Self { child, to, from, asked: 0, session: None, problems: Vec::new(), _profile: profile };
        let target = page.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = page.ask("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        page.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log"] {
            page.ask(&format!("{domain}.enable"), json!({}));
        }
        page.resize(width, height);
        page
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let mut message = json!({ "id": self.asked, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let message = self.from.recv_timeout(DEADLINE).unwrap_or_else(|why| panic!("{method}: {why}"));
            if message["id"] == self.asked {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let of = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.problems.push(of["exceptionDetails"].to_string()),
            // Answers of 4xx and 5xx are told as well, and are the page's to deal with.
            Some("Log.entryAdded") if of["entry"]["source"] == "security" => {
                self.problems.push(of["entry"]["text"].to_string())
            }
            _ => {}
        }
    }

    pub fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.ask("Emulation.setDeviceMetricsOverride", size);
    }

    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The zone of the one who looks at it, for pages that are opened from now on.
    pub fn zone(&mut self, name: &str) {
        self.ask("Emulation.setTimezoneOverride", json!({ "timezoneId": name }));
    }

    pub fn open(&mut self, url: &str) {
        let opened = self.ask("Page.navigate", json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        until("the page is there", || (self.value("document.readyState") == "complete").then_some(()));
    }

    /// What an expression is in the page; a promise is waited for.
    pub fn value(&mut self, expression: &str) -> Value {
        let how = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let found = self.ask("Runtime.evaluate", how);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    pub fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector({})?.textContent ?? \"\"", json!(selector)));
        text.as_str().unwrap().to_owned()
    }

    /// The texts of all that it selects.
    pub fn texts(&mut self, selector: &str) -> Vec<String> {
        let found = self.value(&format!("[...document.querySelectorAll({})].map(e => e.textContent)", json!(selector)));
        serde_json::from_value(found).unwrap()
    }

    /// Waits until an expression is true in the page.
    pub fn until(&mut self, expression: &str) {
        if in_time(|| (self.value(expression) == true).then_some(())).is_none() {
            let seen = self.value(
                "[location.href, document.activeElement.outerHTML, document.querySelector('main')?.innerText ?? '']\
                 .map(text => text.slice(0, 3000)).join('\\n')",
            );
            panic!(
                "not within {DEADLINE:?}: {expression}\nits address, what has the focus, and what it shows:\n{seen}"
            );
        }
    }

    /// A key on what has the focus, as a person presses it.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            " " => (32, " "),
            "Escape" => (27, ""),
            "ArrowDown" => (40, ""),
            "ArrowRight" => (39, ""),
            other => panic!("{other} is not known"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// Kept for people, where they ask for it.
    pub fn photograph(&mut self, name: &str) {
        let Some(folder) = std::env::var_os(SCREENSHOTS) else { return };
        // What has changed is drawn with the next frame.
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
        let taken = self.ask("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        let bytes = BASE64_STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }

    /// Nothing went wrong in it that nobody caught.
    pub fn assert_clean(&mut self) {
        self.value("1");
        assert_eq!(self.problems, [] as [&str; 0]);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Its own processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
