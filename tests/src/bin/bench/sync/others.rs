//! The programs of others that do the same work, from the distribution's packages.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::Result;

/// Nothing here takes longer.
const DEADLINE: Duration = Duration::from_secs(600);
/// What the two instances of Syncthing call the folder.
const FOLDER: &str = "bench";
const KEY: &str = "bench";

/// Runs a program to its end: how long it took, what it printed, and the most memory it held resident, in bytes.
fn run(command: &mut Command) -> Result<(Duration, String, u64)> {
    let began = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(
            |error| format!("{}: {error}; cargo xtask bench installs it", command.get_program().display()),
        )?;
    let mut output = child.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let mut peak = 0;
    let status = loop {
        // It only grows, so the last look before the end is the one that counts.
        peak = peak_memory(child.id()).unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = began.elapsed();
    let text = reader.join().map_err(|_| "the reader panicked")??;
    if status.success() {
        Ok((took, text, peak))
    } else {
        Err(format!("{:?} ended with {status}: {text}", command.get_program()).into())
    }
}

/// The most memory a process has held resident so far, in bytes.
pub(super) fn peak_memory(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// Copies what is new or different, one way, synced to disk.
pub(super) fn rsync(from: &Path, to: &Path) -> Result<Duration> {
    let mut command = Command::new("rsync");
    command.args(["-a", "--fsync"]).arg(with_slash(from)).arg(with_slash(to));
    Ok(run(&mut command)?.0)
}

/// The bytes rsync would send and receive over a network to bring a file up to date.
pub(super) fn rsync_wire_bytes(from: &Path, to: &Path) -> Result<u64> {
    let mut command = Command::new("rsync");
    command.args(["-a", "--no-whole-file", "--stats"]).arg(with_slash(from)).arg(with_slash(to));
    let (_, text, _) = run(&mut command)?;
    let number = |label: &str| -> Result<u64> {
        let line =
            text.lines().find_map(|line| line.strip_prefix(label)).ok_or("rsync prints no such total")?;
        Ok(line.trim().replace(',', "").parse()?)
    };
    Ok(number("Total bytes sent:")? + number("Total bytes received:")?)
}

fn with_slash(folder: &Path) -> PathBuf {
    folder.join("")
}

/// Unison with an archive of its own.
pub(super) struct Unison(TempDir);

impl Unison {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// Makes two folders equal; how long that took, and the most memory it held.
    pub(super) fn sync(&self, one: &Path, other: &Path) -> Result<(Duration, u64)> {
        let mut command = Command::new("unison");
        command
            .args(["-ui", "text", "-batch", "-silent", "-confirmbigdel=false", "-ignore", "Name .mhnos-sync"])
            .args([one, other])
            .env("UNISON", self.0.path())
            .env("HOME", self.0.path());
        let (took, _, peak) = run(&mut command)?;
        Ok((took, peak))
    }
}

/// Two instances of Syncthing that know each other, with one folder.
pub(super) struct Syncthing {
    instances: [Instance; 2],
}

struct Instance {
    child: Child,
    home: TempDir,
    folder: PathBuf,
    gui: u16,
}

impl Syncthing {
    /// Starts both, and waits until they are connected and have looked at their folders.
    pub(super) fn start(one: &Path, other: &Path) -> Result<Self> {
        let homes = [tempfile::tempdir()?, tempfile::tempdir()?];
        let ids = [generate(homes[0].path())?, generate(homes[1].path())?];
        let ports = [free_port()?, free_port()?];
        let guis = [free_port()?, free_port()?];
        let folders = [one, other];
        for at in 0..2 {
            let text = configuration(folders[at], &ids, ports, guis[at], at);
            fs::write(homes[at].path().join("config.xml"), text)?;
        }
        let start = |home: TempDir, at: usize| -> Result<Instance> {
            let child = Command::new("syncthing")
                .arg(format!("--home={}", home.path().display()))
                .args(["--no-browser", "--no-restart", "--no-upgrade", "--skip-port-probing"])
                .stdin(Stdio::null())
                .stdout(fs::File::create(home.path().join("log"))?)
                .stderr(Stdio::null())
                .spawn()?;
            Ok(Instance { child, home, folder: folders[at].to_owned(), gui: guis[at] })
        };
        let [first, second] = homes;
        let both = Self { instances: [start(first, 0)?, start(second, 1)?] };
        both.until("the instances of Syncthing are connected", || {
            Ok(both
                .instances
                .iter()
                .all(|it| it.is_connected().unwrap_or(false) && it.is_idle().unwrap_or(false)))
        })?;
        Ok(both)
    }

    /// Has the first look at its folder, and waits until the second has all of so many files; how long that took.
    pub(super) fn sync(&self, files: u64) -> Result<Duration> {
        let [one, other] = &self.instances;
        let began = Instant::now();
        one.request("POST", &format!("/rest/db/scan?folder={FOLDER}"))?;
        self.until("Syncthing has all files", || {
            let status = other.status()?;
            Ok(status["localFiles"] == files && status["needFiles"] == 0 && status["state"] == "idle")
        })?;
        Ok(began.elapsed())
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let began = Instant::now();
        while !holds()? {
            if began.elapsed() > DEADLINE {
                let logs = self.instances.iter().map(|it| fs::read_to_string(it.home.path().join("log")));
                return Err(format!("not in time: {what}; {:?}", logs.collect::<Vec<_>>()).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Instance {
    fn is_connected(&self) -> Result<bool> {
        let answer = self.request("GET", "/rest/system/connections")?;
        let connections = answer["connections"].as_object().ok_or("no connections")?;
        Ok(connections.values().any(|connection| connection["connected"] == true))
    }

    fn is_idle(&self) -> Result<bool> {
        let status = self.status()?;
        Ok(status["state"] == "idle" && status["needFiles"] == 0 && self.folder.join(".stfolder").exists())
    }

    fn status(&self) -> Result<Value> {
        self.request("GET", &format!("/rest/db/status?folder={FOLDER}"))
    }

    fn request(&self, method: &str, path: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.gui))?;
        let head = "Host: localhost\r\nConnection: close\r\nContent-Length: 0";
        stream.write_all(
            format!("{method} {path} HTTP/1.0\r\n{head}\r\nX-API-Key: {KEY}\r\n\r\n").as_bytes(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("Syncthing answers nothing")?;
        if !head.contains(" 200 ") {
            return Err(format!("Syncthing refuses {path}: {answer}").into());
        }
        Ok(serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes the keys of an instance; its name.
fn generate(home: &Path) -> Result<String> {
    let home = format!("--home={}", home.display());
    run(Command::new("syncthing").args(["generate", "--no-default-folder"]).arg(&home))?;
    Ok(run(Command::new("syncthing").args(["--device-id"]).arg(&home))?.1.trim().to_owned())
}

fn configuration(folder: &Path, ids: &[String; 2], ports: [u16; 2], gui: u16, at: usize) -> String {
    let devices: String = (0..2)
        .map(|each| {
            let (id, port) = (&ids[each], ports[each]);
            format!("<device id=\"{id}\" name=\"{each}\"><address>tcp://127.0.0.1:{port}</address></device>")
        })
        .collect();
    let shared: String = ids.iter().map(|id| format!("<device id=\"{id}\"></device>")).collect();
    let (folder, port) = (folder.display(), ports[at]);
    format!(
        "<configuration version=\"35\">\
         <folder id=\"{FOLDER}\" path=\"{folder}\" type=\"sendreceive\" rescanIntervalS=\"3600\" \
         fsWatcherEnabled=\"true\" fsWatcherDelayS=\"1\">{shared}</folder>{devices}\
         <gui enabled=\"true\" tls=\"false\"><address>127.0.0.1:{gui}</address><apikey>{KEY}</apikey></gui>\
         <options><listenAddress>tcp://127.0.0.1:{port}</listenAddress>\
         <globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>\
         <relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><urAccepted>-1</urAccepted>\
         <reconnectionIntervalS>1</reconnectionIntervalS><startBrowser>false</startBrowser>\
         <autoUpgradeIntervalH>0</autoUpgradeIntervalH><crashReportingEnabled>false</crashReportingEnabled>\
         <setLowPriority>false</setLowPriority></options></configuration>"
    )
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
