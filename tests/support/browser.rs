//! Headless Chromium for tests of pages, driven by its debugging protocol over a pipe.
//!
//! The protocol is JSON with a zero byte after each message: a browser needs no port that another program could connect to, and no
//! WebSocket.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::error::{StackError, system};

/// Debian's name of it.
const PROGRAM: &str = "chromium";

/// Longest wait for a response.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A browser with one page; ended when dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    last_id: u64,
    problems: Vec<String>,
    requests: BTreeSet<String>,
    /// Pages that are loaded whole, by their loaders.
    loaded: BTreeSet<String>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Whether there is one on this machine.
    pub fn is_installed() -> bool {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&paths).any(|directory| directory.join(PROGRAM).is_file())
    }

    /// Starts it, with a profile of its own and without a network but loopback.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub fn start() -> Result<Self, StackError> {
        let profile = tempfile::tempdir().map_err(system("making a profile"))?;
        // The browser has the protocol on its descriptors 3 and 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null", PROGRAM]);
        command.args(["--headless", "--remote-debugging-pipe", "--no-first-run", "--hide-scrollbars", "--disable-gpu"]);
        // Tests run as root in containers, where its sandbox cannot be had. It shows our own pages only.
        command.args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]);
        command.args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-proxy-server"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg("about:blank").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(system("starting Chromium"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (to, out) = pipes.ok_or_else(|| io::Error::other("no pipe")).map_err(system("starting Chromium"))?;
        let (sender, from) = channel();
        thread::spawn(move || {
            let messages = BufReader::new(out).split(0).map_while(Result::ok);
            for message in messages.filter_map(|bytes| serde_json::from_slice(&bytes).ok()) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let (problems, requests) = (Vec::new(), BTreeSet::new());
        let mut browser = Self {
            child,
            to,
            from,
            session: None,
            last_id: 0,
            problems,
            requests,
            loaded: BTreeSet::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target.get("targetId"), "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach)?;
        browser.session = attached.get("sessionId").and_then(Value::as_str).map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        browser.call("Page.setLifecycleEventsEnabled", &json!({ "enabled": true }))?;
        Ok(browser)
    }

    /// Opens a page and waits until all of it is loaded.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub fn open(&mut self, url: &str) -> Result<(), StackError> {
        let navigated = self.call("Page.navigate", &json!({ "url": url }))?;
        // By its loader: the event of the empty page that was there before may come as late as this.
        let loader = navigated.get("loaderId").and_then(Value::as_str);
        let loader = loader.ok_or_else(|| failed(format!("{url} cannot be opened: {navigated}")))?;
        while !self.loaded.contains(loader) {
            self.receive()?;
        }
        Ok(())
    }

    /// The value of an expression in the page, or of what it promises.
    ///
    /// # Errors
    /// [`StackError::System`] with what was thrown.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value, StackError> {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let done = self.call("Runtime.evaluate", &parameters)?;
        if let Some(thrown) = done.get("exceptionDetails") {
            return Err(failed(format!("{expression:.200}: {thrown}")));
        }
        Ok(done.pointer("/result/value").cloned().unwrap_or_default())
    }

    /// Gives the page this width, in a height that shows much of it.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub fn resize(&mut self, width: u32) -> Result<(), StackError> {
        let parameters = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", &parameters).map(drop)
    }

    /// Shows the page as in this colour scheme, `light` or `dark`, and on this medium: `print`, or the screen.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub fn emulate(&mut self, scheme: &str, medium: &str) -> Result<(), StackError> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "media": medium, "features": features })).map(drop)
    }

    /// Presses and releases a key, such as `Tab`.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub fn press(&mut self, key: &str) -> Result<(), StackError> {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            _ => (0, key),
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Leaves a picture of what is seen as a PNG file.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub fn screenshot(&mut self, to: &Path) -> Result<(), StackError> {
        let taken = self.call("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let text = taken.get("data").and_then(Value::as_str).unwrap_or_default();
        let png = Base64::decode_vec(text).map_err(|error| failed(error.to_string()))?;
        fs::create_dir_all(to.parent().unwrap_or(to)).map_err(system("making a directory"))?;
        fs::write(to, png).map_err(system(format!("writing {}", to.display())))
    }

    /// What axe-core, whose source this is, finds wrong with the page's accessibility, by these of its rules, or by all.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub fn accessibility(&mut self, axe: &str, rules: &[&str]) -> Result<Vec<String>, StackError> {
        self.evaluate(&format!("{axe};0"))?;
        let mut options = json!({ "resultTypes": ["violations"] });
        if let (Value::Object(options), false) = (&mut options, rules.is_empty()) {
            options.insert("runOnly".into(), json!(rules));
        }
        let found = self.evaluate(&format!(
            "axe.run(document, {options}).then(found => found.violations.map(one => one.id + ': ' + \
             one.nodes.slice(0, 2).map(node => node.html.slice(0, 120) + ' ' + node.failureSummary).join(' | ')))"
        ))?;
        Ok(found.as_array().into_iter().flatten().map(ToString::to_string).collect())
    }

    /// Errors and warnings that the page caused, exceptions and dialogs.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// All that was requested, by its URL.
    pub fn requests(&self) -> &BTreeSet<String> {
        &self.requests
    }

    /// Calls a method and waits for its result.
    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value, StackError> {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let (Some(session), Value::Object(message)) = (&self.session, &mut message) {
            message.insert("sessionId".into(), session.as_str().into());
        }
        self.to.write_all(format!("{message}\0").as_bytes()).map_err(system("writing to Chromium"))?;
        loop {
            let message = self.receive()?;
            if message.get("id").and_then(Value::as_u64) == Some(id) {
                return match message.get("error") {
                    Some(error) => Err(failed(format!("{method}: {error}"))),
                    None => Ok(message.get("result").cloned().unwrap_or_default()),
                };
            }
        }
    }

    /// Receives the next message, and notes what the tests want to know of events.
    fn receive(&mut self) -> Result<Value, StackError> {
        let message =
            self.from.recv_timeout(TIMEOUT).map_err(|error| failed(format!("Chromium does not respond: {error}")))?;
        let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match text("/method") {
            "Page.lifecycleEvent" if text("/params/name") == "load" => {
                self.loaded.insert(text("/params/loaderId").to_owned());
            }
            "Network.requestWillBeSent" => drop(self.requests.insert(text("/params/request/url").to_owned())),
            "Runtime.exceptionThrown" | "Page.javascriptDialogOpening" => self.problems.push(message.to_string()),
            "Runtime.consoleAPICalled" if ["error", "warning", "assert"].contains(&text("/params/type")) => {
                self.problems.push(message.to_string());
            }
            "Log.entryAdded" if ["error", "warning"].contains(&text("/params/entry/level")) => {
                self.problems.push(message.to_string());
            }
            _ => {}
        }
        Ok(message)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn failed(why: String) -> StackError {
    system("driving Chromium")(io::Error::other(why))
}

/// axe-core's source, where `dev/axe` has left it.
pub fn axe() -> Option<String> {
    let tools = crate::programs_directory().ok()?.join("../tools");
    fs::read_to_string(tools.join("axe-core-4.14.1.js")).ok()
}
