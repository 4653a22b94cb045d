//! Chromium without a window, driven over its DevTools pipe: messages that end in NUL on file
//! descriptors 3 and 4 (<https://chromedevtools.github.io/devtools-protocol/>). Needs no driver.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Chrome {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: String,
    last: u64,
    /// Everything that the page said by itself.
    events: Vec<Value>,
    /// What the addresses of the page's own requests begin with.
    origin: String,
    _profile: TempDir,
}

/// How a page is looked at.
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
    pub scripts: bool,
}

impl Look {
    pub const DESKTOP: Look = Look { width: 1280, height: 900, dark: false, scripts: true };
}

impl Chrome {
    /// Starts the browser with an empty page; `None` where there is no Chromium.
    pub fn start(look: &Look) -> Option<Chrome> {
        let program = program()?;
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#, "sh"]).arg(program);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--remote-debugging-pipe",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().expect("sh starts");
        let (to, from) = (child.stdin.take().unwrap(), listen(child.stdout.take().unwrap()));
        let session = String::new();
        let mut chrome = Chrome {
            child,
            to,
            from,
            session,
            last: 0,
            events: Vec::new(),
            origin: String::new(),
            _profile: profile,
        };
        chrome.attach(look);
        Some(chrome)
    }

    fn attach(&mut self, look: &Look) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        self.session = self.call("Target.attachToTarget", attach)["sessionId"].as_str().unwrap().into();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.look(look);
    }

    /// Looks at pages in another way from now on.
    pub fn look(&mut self, look: &Look) {
        let Look { width, height, dark, scripts } = look;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": *width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if *dark { "dark" } else { "light" };
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": scheme }));
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !scripts }));
    }

    /// Opens a file and waits until it is loaded; how long that took.
    pub fn open(&mut self, file: &Path) -> Duration {
        self.open_address(&format!("file://{}", file.display()))
    }

    /// As [`Chrome::open`], by an address.
    pub fn open_address(&mut self, address: &str) -> Duration {
        let start = Instant::now();
        self.events.clear();
        self.origin = address.split('#').next().unwrap().into();
        self.call("Page.navigate", json!({ "url": address }));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            self.receive();
        }
        start.elapsed()
    }

    /// What an expression of the page is; promises are waited for.
    #[track_caller]
    pub fn eval(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until `expression` is true.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let start = Instant::now();
        while self.eval(expression) != true {
            assert!(start.elapsed() < PATIENCE, "never true: {expression}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses and releases a key as a user does.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            other => u32::from(other.to_ascii_uppercase().as_bytes()[0]),
        };
        let mut down = json!({ "type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code });
        if key == "Enter" {
            down["text"] = "\r".into();
        }
        self.call("Input.dispatchKeyEvent", down);
        let up = json!({ "type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", up);
    }

    /// Types text where the focus is.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Clicks the middle of what `selector` finds first.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let found = format!("document.querySelector({selector:?})");
        self.eval(&format!("{found}.scrollIntoView({{ block: 'center', behavior: 'instant' }})"));
        let at = self.eval(&format!(
            "(r => [r.x + r.width / 2, r.y + r.height / 2])({found}.getBoundingClientRect())"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Errors on the console and requests to the network since the page was opened.
    pub fn problems(&mut self) -> Vec<String> {
        std::thread::sleep(Duration::from_millis(100));
        self.eval("1"); // what came before has been received with its answer
        let problem = |event: &Value| {
            let params = &event["params"];
            let url = params["request"]["url"].as_str().unwrap_or_default();
            let bad = match event["method"].as_str()? {
                "Runtime.exceptionThrown" | "Log.entryAdded" => true,
                "Runtime.consoleAPICalled" => params["type"] == "error" || params["type"] == "warning",
                "Network.requestWillBeSent" => {
                    !(url.starts_with("data:") || url.starts_with("blob:") || url.starts_with(&self.origin))
                }
                _ => false,
            };
            bad.then(|| event.to_string().chars().take(600).collect())
        };
        self.events.iter().filter_map(problem).collect()
    }

    /// The window's picture as a PNG file in the folder that MSDCAM_SCREENSHOTS names, if it does.
    pub fn screenshot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("MSDCAM_SCREENSHOTS") else { return };
        let picture = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": false }));
        let bytes = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            picture["data"].as_str().unwrap(),
        );
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), bytes.unwrap()).unwrap();
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        loop {
            let answer = self.receive();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    /// The next message; those that answer no call are kept.
    #[track_caller]
    fn receive(&mut self) -> Value {
        let message = self.from.recv_timeout(PATIENCE).expect("the browser answers");
        if message["id"].is_null() {
            self.events.push(message.clone());
        }
        message
    }
}

impl Drop for Chrome {
    fn drop(&mut self) {
        // Its children end with it; it may have ended already.
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > Duration::from_secs(5) {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn listen(from: impl std::io::Read + Send + 'static) -> Receiver<Value> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(from).split(0).map_while(Result::ok) {
            let Ok(message) = serde_json::from_slice(&message) else { break };
            if send.send(message).is_err() {
                break;
            }
        }
    });
    receive
}

/// Chromium by one of its names.
fn program() -> Option<&'static str> {
    let there = |name: &&str| {
        let mut command = Command::new(name);
        command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(there)
}
