//! A person's session, and the app in it.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use mhnos_tests::display::{Display, first_line};
use mhnos_tests::{eventually, http, runtime_program, system};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;
use x11rb::protocol::xproto::{ClientMessageEvent, ConnectionExt as _, EventMask};

/// Where the app is: where `MHNOS_TEST_DESKTOP` says, else beside the runtime.
pub(crate) fn desktop_program() -> PathBuf {
    let program = std::env::var_os("MHNOS_TEST_DESKTOP")
        .map_or_else(|| runtime_program().with_file_name("mhnos-desktop"), PathBuf::from);
    assert!(
        program.is_file(),
        "there is no app to test at {}: cargo xtask test --only desktop",
        program.display()
    );
    program
}

/// Who the workspace belongs to where root runs the tests with a container engine.
const PERSON: u32 = 1000;

/// More colours than a window has that shows nothing but its background; with letters on it, it has hundreds.
const COLOURS: usize = 50;

/// A display, perhaps a bus, and folders.
pub(crate) struct Session {
    folder: TempDir,
    display: Display,
    bus: Option<(Child, String)>,
    /// What `DOCKER_HOST` says; `None`: nothing, and the machine's own engine is found.
    engine: Option<String>,
    pub(crate) port: u16,
}

impl Session {
    /// With a session bus.
    pub(crate) fn new() -> Self {
        let mut session = Self::without_bus();
        let mut bus = Command::new("dbus-daemon");
        bus.args(["--session", "--nofork", "--print-address=1"]);
        session.prepare(&mut bus);
        let mut bus =
            bus.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("there is a dbus-daemon");
        let address = first_line(&mut bus);
        session.bus = Some((bus, address));
        session
    }

    /// With a session bus, and the container engine of whoever runs the tests.
    pub(crate) fn with_engine() -> Self {
        let mut session = Self::new();
        session.engine = std::env::var("DOCKER_HOST").ok();
        std::fs::create_dir(session.workspace()).unwrap();
        session.give_workspace_to_person();
        session
    }

    /// Where root runs the tests, the workspace and what root's runtime wrote there becomes a person's: programs in a container never are root.
    pub(crate) fn give_workspace_to_person(&self) {
        if nix::unistd::geteuid().is_root() {
            let owner = format!("{PERSON}:{PERSON}");
            let done = self.run("chown", &["-R", &owner, &self.workspace().to_string_lossy()]);
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }

    /// Without one.
    pub(crate) fn without_bus() -> Self {
        let folder = tempfile::Builder::new().prefix("mhnos-desktop-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let display = Display::start([] as [&str; 0]);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // No container engine of the machine's is to be touched.
        let engine = Some("unix:///nonexistent/docker.sock".into());
        let session = Self { folder, display, bus: None, engine, port };
        session.runtime_settings(&format!(r#"{{"port": {port}}}"#));
        session
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    /// What the app printed.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("app.log")).unwrap_or_default()
    }

    /// Makes it a session whose looks are dark, as a person chooses it.
    pub(crate) fn darken(&self) {
        let file = self.looks();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "[Settings]\ngtk-application-prefer-dark-theme=true\n").unwrap();
    }

    pub(crate) fn is_dark(&self) -> bool {
        self.looks().exists()
    }

    fn looks(&self) -> PathBuf {
        self.home().join(".config/gtk-3.0/settings.ini")
    }

    /// Gives the person a browser, and the app the links that are its own, where the system looks for both.
    pub(crate) fn associate(&self) {
        let browser = self.home().join("browser");
        let opened = self.home().join("opened");
        std::fs::write(&browser, format!("#!/bin/sh\nprintf '%s\\n' \"$1\" >> '{}'\n", opened.display()))
            .unwrap();
        std::fs::set_permissions(&browser, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let applications = self.home().join(".local/share/applications");
        std::fs::create_dir_all(&applications).unwrap();
        let packed = include_str!("../../packaging/org.mhnos.runtime.desktop");
        let here = format!("Exec={} %u", desktop_program().display());
        assert!(packed.contains("Exec=mhnos-desktop %u\n"), "{packed}");
        let entry = packed.replace("Exec=mhnos-desktop %u", &here);
        std::fs::write(applications.join("org.mhnos.runtime.desktop"), entry).unwrap();
        let entry =
            format!("[Desktop Entry]\nType=Application\nName=Browser\nExec={} %u\n", browser.display());
        std::fs::write(applications.join("browser.desktop"), entry).unwrap();
        let defaults = "[Default Applications]\nx-scheme-handler/mhnos=org.mhnos.runtime.desktop\n\
                        x-scheme-handler/http=browser.desktop\nx-scheme-handler/https=browser.desktop\n";
        std::fs::create_dir_all(self.home().join(".config")).unwrap();
        std::fs::write(self.home().join(".config/mimeapps.list"), defaults).unwrap();
    }

    /// What the person's browser was told to open.
    pub(crate) fn opened(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.home().join("opened")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn bus_address(&self) -> &str {
        &self.bus.as_ref().expect("this session has a bus").1
    }

    /// The app's settings, as it keeps them.
    pub(crate) fn app_settings(&self, text: &str) {
        self.write("desktop.json", text);
    }

    /// The runtime's.
    pub(crate) fn runtime_settings(&self, text: &str) {
        self.write("settings.json", text);
    }

    fn write(&self, name: &str, text: &str) {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        if !self.state().exists() {
            builder.create(self.state()).unwrap();
        }
        std::fs::write(self.state().join(name), text).unwrap();
    }

    /// Gives a command this session's environment and nothing of the machine's own.
    pub(crate) fn prepare(&self, command: &mut Command) {
        let home = self.home();
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["MHNOS_", "XDG_", "DBUS_", "WAYLAND_", "DOCKER_"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        command
            .env("DISPLAY", self.display.name())
            .env("HOME", &home)
            .env("XDG_RUNTIME_DIR", &home)
            .env("MHNOS_STATE_DIR", self.state())
            .env("MHNOS_WORKSPACE", self.workspace())
            .envs(self.engine.iter().map(|host| ("DOCKER_HOST", host)))
            .env("NO_AT_BRIDGE", "1")
            .env("GDK_BACKEND", "x11")
            .env(
                "DBUS_SESSION_BUS_ADDRESS",
                self.bus.as_ref().map_or("unix:path=/nonexistent", |(_, address)| address),
            )
            .stdin(Stdio::null());
    }

    /// A command in this session, carried out.
    pub(crate) fn run(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        self.prepare(&mut command);
        command.args(arguments).output().expect("the program is there")
    }

    /// Starts the app.
    pub(crate) fn start(&self) -> App {
        self.start_with(&[])
    }

    /// Starts the app with these words behind its name.
    pub(crate) fn start_with(&self, words: &[&str]) -> App {
        let mut command = Command::new(desktop_program());
        self.prepare(&mut command);
        command.args(words);
        let log = std::fs::File::create(self.folder.path().join("app.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        App { child: command.spawn().unwrap(), log: self.folder.path().join("app.log") }
    }

    /// What `runtime.json` says.
    pub(crate) fn announced(&self) -> Option<Value> {
        serde_json::from_slice(&std::fs::read(self.state().join("runtime.json")).ok()?).ok()
    }

    /// The runtime's process.
    pub(crate) fn runtime_pid(&self) -> i32 {
        self.announced().expect("a runtime is announced")["pid"].as_i64().unwrap() as i32
    }

    /// Waits until the runtime answers on this port.
    pub(crate) async fn healthy(&self, port: u16) {
        eventually(&format!("/health answers on {port}"), || is_listening(port)).await;
        let request = format!("GET /health HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
        assert_eq!(http::exchange(port, request).await.status, 200);
    }

    /// Waits until nobody listens there.
    pub(crate) async fn silent(&self, port: u16) {
        eventually(&format!("/health is gone from {port}"), || !is_listening(port)).await;
    }

    /// The visible windows with this in their title.
    pub(crate) fn windows(&self, title: &str) -> Vec<String> {
        let output = self.run("xdotool", &["search", "--onlyvisible", "--name", title]);
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// Presses keys in a window, as hands do. False when it has gone meanwhile, as windows do that were answered.
    pub(crate) fn press(&self, window: &str, key: &str) -> bool {
        let done = self.run("xdotool", &["windowfocus", "--sync", window, "key", "--clearmodifiers", key]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() || said.contains("BadWindow"), "{said}");
        done.status.success()
    }

    /// Asks a window to close, as the button in its frame does.
    pub(crate) fn close(&self, window: &str) {
        let (connection, _) = x11rb::connect(Some(self.display.name())).unwrap();
        let atom =
            |name: &[u8]| connection.intern_atom(false, name).unwrap().reply().expect("a name is known").atom;
        let (protocols, delete) = (atom(b"WM_PROTOCOLS"), atom(b"WM_DELETE_WINDOW"));
        let window = window.parse().expect("a window has a number");
        let message = ClientMessageEvent::new(32, window, protocols, [delete, x11rb::CURRENT_TIME, 0, 0, 0]);
        connection.send_event(false, window, EventMask::NO_EVENT, message).unwrap().check().unwrap();
    }

    /// Gives a window a size, as the hand at its corner does.
    pub(crate) fn resize(&self, window: &str, width: u32, height: u32) {
        let done =
            self.run("xdotool", &["windowsize", "--sync", window, &width.to_string(), &height.to_string()]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// A picture of a window that shows its page, where pictures are wanted.
    pub(crate) async fn picture(&self, window: &str, name: &str) {
        self.until_shown(window).await;
        if let Some(folder) = std::env::var_os("MHNOS_TEST_PICTURES") {
            let file = Path::new(&folder).join(name);
            let done = self.run("import", &["-window", window, &file.to_string_lossy()]);
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }

    /// Waits until a window shows its page.
    pub(crate) async fn until_shown(&self, window: &str) {
        let colours = || {
            let shown = self.run("import", &["-window", window, "-format", "%k", "info:-"]);
            String::from_utf8_lossy(&shown.stdout).trim().parse().unwrap_or(0)
        };
        eventually("the window shows its page", || colours() > COLOURS).await;
    }

    /// The app's settings, as it keeps them now.
    pub(crate) fn kept_app_settings(&self) -> Value {
        let text = std::fs::read(self.state().join("desktop.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some((bus, _)) = &mut self.bus {
            let _ = bus.kill();
            let _ = bus.wait();
        }
    }
}

/// The app, ended with all its processes when it is dropped.
pub(crate) struct App {
    child: Child,
    log: PathBuf,
}

impl App {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// All processes below it, and itself.
    pub(crate) fn processes(&self) -> Vec<i32> {
        [vec![self.pid()], system::descendants(self.pid())].concat()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended, and everything that was `there` with it.
    pub(crate) async fn gone(&mut self, there: &[i32]) {
        eventually("the app ends", || !self.is_running()).await;
        for pid in there {
            eventually("no process is left", || !system::is_alive(*pid)).await;
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the app ---\n{}---", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        let there = self.processes();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in there.into_iter().skip(1).filter(|pid| system::is_alive(*pid)) {
            system::signal(pid, Signal::SIGKILL);
        }
    }
}

fn is_listening(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}
