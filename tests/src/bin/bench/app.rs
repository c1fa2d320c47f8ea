//! The desktop app's start: until the runtime it started answers, and until its window shows what it is about.
//!
//! On a display of its own, of which the picture is a file (`Xvfb -fbdir`): to look at it costs the machine nothing that the app would miss. The bare
//! limit is the browser that comes with the web view, showing a page of one colour.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mhnos_tests::display::{self, SIZE};
use tempfile::TempDir;

use crate::report::{Line, Report};
use crate::statistics::{median, milliseconds};
use crate::{Result, runtime, start};

const ROUNDS: usize = 7;

/// After this it is not painted any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Colours of a window that has letters on it; one with nothing but a background has few.
const COLOURS: usize = 20;

/// Red, green and blue that nothing else has.
const PAGE: [u8; 3] = [0x1a, 0x5b, 0x9c];

/// Measures warm starts of a release build, beside the runtime that `MHNOS_TEST_RUNTIME` names.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let app = runtime::program()?.with_file_name("mhnos-desktop");
    if !app.is_file() {
        return Err(
            format!("there is no app at {}: cargo build --release -p mhnos-desktop", app.display()).into()
        );
    }
    let browser = browser()?;
    let (mut bare, mut painted, mut green) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(start_browser(&browser)?);
        let (window, answer) = start_app(&app)?;
        painted.push(window);
        green.push(answer);
    }
    let [bare, painted, green] = [bare, painted, green].map(|seconds| (longest(&seconds), median(&seconds)));
    let shown = |(longest, median)| format!("{} (longest {})", milliseconds(median), milliseconds(longest));
    report.add(Line {
        what: "the app: start to its window, painted".into(),
        bare: format!("{} (the web view's own browser, a page of one colour)", shown(bare)),
        ours: shown(painted),
        ratio: Some(painted.1 / bare.1),
        target: "<= 1.5 s",
        met: painted.1 <= 1.5,
    });
    report.add(Line {
        what: "the app: start to the runtime answering".into(),
        bare: "-".into(),
        ours: shown(green),
        ratio: None,
        target: "<= 2 s",
        met: green.1 <= 2.0,
    });
    Ok(())
}

fn longest(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(0.0, f64::max)
}

/// The small browser that Debian packs with the library of the web view.
fn browser() -> Result<PathBuf> {
    let libraries = fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = libraries.map(|folder| folder.join("webkit2gtk-4.1/MiniBrowser"));
    found.find(|program| program.is_file()).ok_or_else(|| "there is no MiniBrowser of webkit2gtk-4.1".into())
}

fn start_browser(browser: &Path) -> Result<f64> {
    let display = Display::new()?;
    let page = display.folder.path().join("page.html");
    let [red, green, blue] = PAGE;
    fs::write(&page, format!("<!doctype html><body style='background: rgb({red} {green} {blue})'>"))?;
    let began = Instant::now();
    let _browser = display.start(Command::new(browser).arg(&page))?;
    display
        .wait(began, |picture| picture.iter().filter(|&&colour| colour == PAGE).count() > picture.len() / 4)
}

/// Until its window is painted, and until the runtime answers.
fn start_app(app: &Path) -> Result<(f64, f64)> {
    let display = Display::new()?;
    let [state, workspace] = ["state", "workspace"].map(|name| display.folder.path().join(name));
    fs::create_dir(&state)?;
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700))?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    fs::write(state.join("settings.json"), format!(r#"{{"port": {port}}}"#))?;
    fs::write(state.join("desktop.json"), r#"{"firstRunDone": true}"#)?;
    let mut command = Command::new(app);
    command.env("MHNOS_STATE_DIR", state).env("MHNOS_WORKSPACE", workspace);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let began = Instant::now();
    let _app = display.start(&mut command)?;
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| {
            while start::health(port).is_err() {
                if began.elapsed() > PATIENCE {
                    return Err("the runtime did not answer");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(began.elapsed().as_secs_f64())
        });
        let painted = display.wait(began, |picture| {
            let mut colours = picture.to_vec();
            colours.sort_unstable();
            colours.dedup();
            colours.len() > COLOURS
        });
        let answer = answer.join().map_err(|_| "asking broke off")??;
        Ok((painted?, answer))
    })
}

/// A program that is told to end, and waited for, when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(pid) = self.0.id().try_into() {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}

/// A display, and a folder that goes with it.
struct Display {
    server: display::Display,
    folder: TempDir,
}

impl Display {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("home"))?;
        let server = display::Display::start([OsStr::new("-fbdir"), folder.path().as_os_str()]);
        Ok(Self { server, folder })
    }

    fn start(&self, command: &mut Command) -> Result<Ended> {
        let home = self.folder.path().join("home");
        command.env("DISPLAY", self.server.name()).env("GDK_BACKEND", "x11").env("NO_AT_BRIDGE", "1");
        command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", &home);
        Ok(Ended(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }

    /// Seconds until the picture is as it should be: red, green and blue of every seventh line's every fifth dot.
    fn wait(&self, began: Instant, is_so: impl Fn(&[[u8; 3]]) -> bool) -> Result<f64> {
        // The format is that of xwd: a header, then four bytes a dot.
        let [width, height] = SIZE;
        let file = File::open(self.folder.path().join("Xvfb_screen0"))?;
        let header = file.metadata()?.len() - (width * height * 4) as u64;
        let mut line = vec![0; width * 4];
        while began.elapsed() < PATIENCE {
            let mut picture = Vec::new();
            for number in (0..height).step_by(7) {
                file.read_exact_at(&mut line, header + (number * width * 4) as u64)?;
                picture.extend(line.chunks(4).step_by(5).map(|dot| [dot[2], dot[1], dot[0]]));
            }
            if is_so(&picture) {
                return Ok(began.elapsed().as_secs_f64());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("nothing was painted within {PATIENCE:?}").into())
    }
}
