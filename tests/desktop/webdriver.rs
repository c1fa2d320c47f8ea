//! WebDriver, as far as these tests need it: `tauri-driver`, which starts the app in the way of Tauri, and the requests to the system's own
//! driver behind it. What comes after the start is asked of that one directly: the first keeps connections to it that it has closed.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mhnos_tests::{eventually, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::session::{Session, desktop_program};

/// A driven app. Ended with its driver when it is dropped.
pub(crate) struct Browser {
    driver: Child,
    /// Of the system's own driver.
    port: u16,
    session: String,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Browser {
    /// Starts the app in this session, with its window.
    pub(crate) async fn start(session: &Session) -> Self {
        let (port, native) = (free_port(), free_port());
        let driver = std::env::var_os("MHNOS_TEST_TAURI_DRIVER").unwrap_or_else(|| "tauri-driver".into());
        let mut command = Command::new(driver);
        session.prepare(&mut command);
        command
            .args(["--port", &port.to_string(), "--native-port", &native.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let driver = command.spawn().expect("there is a tauri-driver");
        let mut browser = Self { driver, port: native, session: String::new() };
        for port in [native, port] {
            eventually("the driver listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
                .await;
        }
        let application = desktop_program();
        let wanted =
            json!({ "capabilities": { "alwaysMatch": { "tauri:options": { "application": application } } } });
        let made = ask(port, "POST", "/session", Some(wanted)).await;
        browser.session =
            made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}")).to_owned();
        browser
    }

    /// What a script returns.
    pub(crate) async fn script(&self, script: &str) -> Value {
        let path = format!("/session/{}/execute/sync", self.session);
        ask(self.port, "POST", &path, Some(json!({ "script": script, "args": [] }))).await
    }

    /// What an asynchronous script hands to its last argument.
    pub(crate) async fn script_async(&self, script: &str) -> Value {
        let path = format!("/session/{}/execute/async", self.session);
        ask(self.port, "POST", &path, Some(json!({ "script": script, "args": [] }))).await
    }

    /// Waits until a script returns true.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        let waiting = async {
            while self.script(script).await != Value::Bool(true) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(mhnos_tests::DEADLINE, waiting).await.is_err() {
            let says = self.script("return document.body.innerText").await;
            panic!("this did not happen: {what}; the window says {says}");
        }
    }

    /// Waits until the page says this.
    pub(crate) async fn until_said(&self, text: &str) {
        let script = format!("return document.body.innerText.includes({})", json!(text));
        self.until(&format!("the window says {text:?}"), &script).await;
    }

    /// Clicks the button, link or switch with this name, once it can be.
    pub(crate) async fn click(&self, name: &str) {
        let script = format!(
            "const name = {};
             const named = (it) => it.getAttribute('aria-label') === name || it.innerText.trim() === name
                 || (it.matches('a, label') && it.innerText.trim().startsWith(name));
             const found = [...document.querySelectorAll('button, a, label')].find((it) => named(it) && !it.disabled);
             found?.click();
             return found !== undefined;",
            json!(name)
        );
        self.until(&format!("{name:?} can be clicked"), &script).await;
    }

    /// Types this into the field with this label, as far as the page can tell.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        let script = format!(
            "const named = [...document.querySelectorAll('label')].find((it) => it.innerText.trim() === {});
             const field = named?.control;
             if (!field) return false;
             field.value = {};
             field.dispatchEvent(new Event('input', {{ bubbles: true }}));
             return true;",
            json!(label),
            json!(text)
        );
        self.until(&format!("there is a field {label:?}"), &script).await;
    }

    /// Clicks the first button that kills a program.
    pub(crate) async fn kill_a_program(&self) {
        let kill = "
            const button = [...document.querySelectorAll('button')].find((it) => /^Kill [0-9]/.test(it.getAttribute('aria-label')));
            button?.click();
            return button !== undefined;";
        self.until("there is a button that kills", kill).await;
    }

    /// The app's process.
    pub(crate) fn app(&self) -> i32 {
        let is_app = |pid: &i32| {
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program == desktop_program())
        };
        let below = mhnos_tests::system::descendants(self.driver.id() as i32);
        below.into_iter().find(is_app).expect("the driver started the app")
    }

    /// A picture of the page, where pictures are wanted.
    pub(crate) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("MHNOS_TEST_PICTURES") else { return };
        // What was changed last is drawn two frames later.
        self.script_async(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))",
        )
        .await;
        let picture = ask(self.port, "GET", &format!("/session/{}/screenshot", self.session), None).await;
        let file = std::fs::File::create(Path::new(&folder).join(name)).unwrap();
        let mut decode = Command::new("base64")
            .arg("--decode")
            .stdin(Stdio::piped())
            .stdout(file)
            .spawn()
            .expect("there is a base64");
        decode.stdin.take().unwrap().write_all(picture.as_str().expect("a picture").as_bytes()).unwrap();
        assert!(decode.wait().unwrap().success());
    }

    /// Ends the app by its driver.
    pub(crate) async fn end(self) {
        ask(self.port, "DELETE", &format!("/session/{}", self.session), None).await;
    }
}

async fn ask(port: u16, method: &str, path: &str, body: Option<Value>) -> Value {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
        port,
        body.len()
    );
    let answer = within(path, async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    })
    .await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    // A chunked body is one object between its sizes.
    let object = body.find('{').zip(body.rfind('}')).map(|(from, to)| &body[from..=to]);
    let answer: Value =
        serde_json::from_str(object.unwrap_or("{}")).unwrap_or_else(|error| panic!("{error}: {body}"));
    answer["value"].clone()
}

impl Drop for Browser {
    fn drop(&mut self) {
        for pid in mhnos_tests::system::descendants(self.driver.id() as i32) {
            if mhnos_tests::system::is_alive(pid) {
                mhnos_tests::system::signal(pid, nix::sys::signal::Signal::SIGKILL);
            }
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
