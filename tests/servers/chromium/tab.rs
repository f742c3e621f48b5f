//! What a person does in a tab, and what the tab shows.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::{STUCK, http};
use super::devtools::DevTools;
use super::observed::{Observed, Seen, exception};

/// How long an element may take to appear, and a request to be answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tab of a [`Chromium`](super::Chromium), which closes with this value.
pub struct Tab {
    devtools: Mutex<DevTools>,
    browser: http::Client,
    id: String,
}

impl Tab {
    pub(super) fn new(address: SocketAddr) -> Tab {
        let browser = http::Client::new(address);
        let reply = browser.request("PUT", "/json/new?about:blank").send();
        let target: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("no tab: {}", reply.text()));
        // The tab's id is its main frame's too.
        let id = target["id"].as_str().expect("a tab has an id").to_owned();
        let mut devtools = DevTools::connect(address, &format!("/devtools/page/{id}"));
        for domain in ["Page", "Runtime", "Network", "Log"] {
            devtools.run(&format!("{domain}.enable"), json!({}));
        }
        devtools.run("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        Tab { devtools: Mutex::new(devtools), browser, id }
    }

    /// Goes to a page as one who types its address, and returns when it has loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        let mut devtools = self.devtools();
        let before = devtools.observed.loads();
        let answer = devtools.run("Page.navigate", json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {}", answer["errorText"]);
        // There is none for another place of the same document.
        if let Some(document) = answer["loaderId"].as_str() {
            let loaded = devtools.watch(STUCK, |it| it.loaded_since(before, &self.id, |loaded| loaded == document));
            assert!(loaded, "{url} does not finish loading");
        }
    }

    /// Loads the page again as the browser's button does: the page is asked for also while it is fresh, with what is
    /// needed for a 304; what belongs to it comes from the cache as usual.
    #[track_caller]
    pub fn reload(&self) {
        self.until_another_page("the page to load again", || {
            self.devtools().run("Page.reload", json!({}));
        });
    }

    /// Clicks and returns when the page that leads to has loaded.
    #[track_caller]
    pub fn follow(&self, css: &str) {
        self.until_another_page(&format!("the page behind {css}"), || self.click(css));
    }

    /// Clicks and returns at once, whatever that leads to.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.find(css, "it => true");
        self.evaluate(&format!("document.querySelector({}).click()", quoted(css)));
    }

    /// Types over what is in a field.
    #[track_caller]
    pub fn fill(&self, css: &str, value: &str) {
        let function = format!(
            "it => {{ it.focus(); it.value = {}; for (const kind of ['input', 'change']) \
             it.dispatchEvent(new Event(kind, {{ bubbles: true }})); return true; }}",
            quoted(value)
        );
        self.find(css, &function);
    }

    /// What the first such element shows, when there is one.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        self.find(css, "it => it.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Moves the mouse to a place in the window.
    #[track_caller]
    pub fn point_at(&self, x: f64, y: f64) {
        self.devtools().run("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
    }

    /// Moves the mouse there and clicks, whatever is there.
    #[track_caller]
    pub fn click_at(&self, x: f64, y: f64) {
        self.point_at(x, y);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.devtools().run("Input.dispatchMouseEvent", event);
        }
    }

    /// Presses a key that types nothing: `Tab`, `Enter`, `Escape`.
    #[track_caller]
    pub fn press(&self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            other => panic!("the key {other:?} is not known"),
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.devtools().run("Input.dispatchKeyEvent", event);
        }
    }

    /// Shows pages as a window of this size does, where people like it `light` or `dark`.
    #[track_caller]
    pub fn emulate(&self, width: u32, height: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools().run("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools().run("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The value of an expression, or what its promise comes to, as JSON.
    #[track_caller]
    pub fn evaluate(&self, js: &str) -> Value {
        self.try_evaluate(js).unwrap_or_else(|error| panic!("{js}: {error}"))
    }

    /// Returns when an expression is first true, in this page or one that follows it.
    #[track_caller]
    pub fn wait_until(&self, js: &str) {
        let happened = self.poll(STUCK, &format!("!!({js}) || null"));
        assert!(happened.is_some(), "stuck waiting: {js}\n{}", self.page());
    }

    /// Every request of the tab since the start or [`Tab::forget`], when those on their way are answered.
    #[track_caller]
    pub fn requests(&self) -> Vec<Seen> {
        let mut devtools = self.devtools();
        // Its answer comes after what the browser had to tell before.
        devtools.run("Page.getFrameTree", json!({}));
        // One that a server holds open has no status, and need not.
        let _ = devtools.watch(PATIENCE, Observed::settled);
        devtools.observed.seen()
    }

    /// What scripts reported as an error or did not catch, and what the browser complains of, such as a file that is
    /// not there.
    #[track_caller]
    pub fn console_errors(&self) -> Vec<String> {
        self.evaluate("0");
        self.devtools().observed.errors()
    }

    /// Begins new lists of requests and errors.
    #[track_caller]
    pub fn forget(&self) {
        self.requests();
        self.devtools().observed.forget();
    }

    /// From here on no page runs a script of its own.
    #[track_caller]
    pub fn disable_scripts(&self) {
        self.devtools().run("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    }

    /// Writes a PNG of what is visible.
    #[track_caller]
    pub fn screenshot(&self, path: impl AsRef<Path>) {
        let answer = self.devtools().run("Page.captureScreenshot", json!({ "format": "png" }));
        std::fs::write(path, base64(answer["data"].as_str().expect("an image"))).unwrap();
    }

    fn devtools(&self) -> MutexGuard<'_, DevTools> {
        self.devtools.lock().unwrap()
    }

    #[track_caller]
    fn until_another_page(&self, what: &str, act: impl FnOnce()) {
        let before = self.devtools().observed.loads();
        let tree = self.devtools().run("Page.getFrameTree", json!({}));
        let old = tree["frameTree"]["frame"]["loaderId"].as_str().unwrap_or_default();
        act();
        let loaded = self.devtools().watch(STUCK, |it| it.loaded_since(before, &self.id, |loaded| loaded != old));
        assert!(loaded, "stuck waiting: {what}");
    }

    /// What a function makes of the first such element, when there is one.
    #[track_caller]
    fn find(&self, css: &str, function: &str) -> Value {
        let js = format!("(it => it && {{ found: ({function})(it) }})(document.querySelector({}))", quoted(css));
        let found = self.poll(PATIENCE, &js);
        let mut found = found.unwrap_or_else(|| panic!("there is no {css} in\n{}", self.page()));
        found["found"].take()
    }

    /// The first value that is not null.
    #[track_caller]
    fn poll(&self, patience: Duration, js: &str) -> Option<Value> {
        let deadline = Instant::now() + patience;
        loop {
            // Between two pages there is nothing to ask.
            if let Ok(answer) = self.ask(js) {
                match outcome(answer) {
                    Ok(Value::Null) => {}
                    Ok(value) => return Some(value),
                    Err(error) => panic!("{js}: {error}"),
                }
            }
            if Instant::now() > deadline {
                return None;
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn try_evaluate(&self, js: &str) -> Result<Value, String> {
        self.ask(js).and_then(outcome)
    }

    fn ask(&self, js: &str) -> Result<Value, String> {
        let params = json!({ "expression": js, "returnByValue": true, "awaitPromise": true, "userGesture": true });
        self.devtools().call("Runtime.evaluate", params)
    }

    /// For messages.
    fn page(&self) -> String {
        let js = "location.href + '\\n' + document.documentElement.outerHTML.slice(0, 2000)";
        self.try_evaluate(js).map_or_else(|error| error, |page| page.as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // The browser may be gone already.
        let _ = self.browser.get(&format!("/json/close/{}", self.id)).try_send();
    }
}

/// The value, or the exception.
fn outcome(mut answer: Value) -> Result<Value, String> {
    match answer.get("exceptionDetails") {
        Some(details) => Err(exception(details)),
        None => Ok(answer["result"]["value"].take()),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |digit: &u8| DIGITS.iter().position(|it| it == digit).expect("a digit") as u32;
    let decoded = text.trim_end_matches('=').as_bytes().chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0, |bits, digit| (bits << 6) | value(digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1)
    });
    decoded.collect()
}
