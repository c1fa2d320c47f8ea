//! An archive for whoever helps: how it stands, what Doctor found, the settings and the end of each log, without secrets.
//!
//! What could be a secret is any run of hexadecimal digits as long as a token or a ticket; and the home folder's path, which has the
//! person's name in it, is written as `~`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use mhnos_server::state::StateDirectory;
use serde_json::Value;

use crate::snapshot::EngineState;

/// Bytes of the end of each log.
const LOG_BYTES: u64 = 1 << 20;

/// Logs that are taken, newest first.
const LOGS: usize = 8;

/// The shortest run of hexadecimal digits that counts as a secret.
const SECRET_DIGITS: usize = 32;

/// Writes the archive where downloads go, and says where that is.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(state: &StateDirectory, doctor: &Value, engine: &EngineState) -> io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let path = folder(state).join(format!("mhnos-diagnostics-{now}.tar.gz"));
    let mut archive = tar::Builder::new(GzEncoder::new(File::create(&path)?, Compression::default()));
    let mut add = |name: &str, text: &str| {
        let text = redacted(text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("mhnos-diagnostics/{name}"), text.as_bytes())
    };
    add("version.txt", env!("CARGO_PKG_VERSION"))?;
    add("engine.json", &serde_json::to_string_pretty(engine)?)?;
    add("doctor.json", &serde_json::to_string_pretty(doctor)?)?;
    for name in ["settings.json", "desktop.json", "runtime.json"] {
        if let Ok(text) = fs::read_to_string(state.path().join(name)) {
            add(name, &text)?;
        }
    }
    for log in logs(&state.log_directory())? {
        let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        add(&format!("logs/{name}"), &end_of(&log)?)?;
    }
    archive.into_inner()?.finish()?;
    Ok(path)
}

fn folder(state: &StateDirectory) -> PathBuf {
    let home = std::env::home_dir().map(|home| home.join("Downloads"));
    home.filter(|folder| folder.is_dir()).unwrap_or_else(|| state.path().to_owned())
}

fn logs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut logs: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    // Their names are their days.
    logs.sort();
    logs.reverse();
    logs.truncate(LOGS);
    Ok(logs)
}

fn end_of(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn redacted(text: &str) -> String {
    let home = std::env::home_dir().filter(|home| home.parent().is_some());
    let text = match home {
        Some(home) => text.replace(&*home.to_string_lossy(), "~"),
        None => text.to_owned(),
    };
    let mut clean = String::with_capacity(text.len());
    let mut digits = String::new();
    for character in text.chars().map(Some).chain([None]) {
        match character {
            Some(digit) if digit.is_ascii_hexdigit() => digits.push(digit),
            other => {
                let is_secret = digits.len() >= SECRET_DIGITS;
                clean.push_str(if is_secret { "[removed]" } else { &digits });
                digits.clear();
                clean.extend(other);
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_names_are_removed() {
        let token = "0123456789abcdef".repeat(4);
        let home = std::env::home_dir().unwrap().display().to_string();
        let text = redacted(&format!("token {token}, {home}/x, pid 4711, {token}"));
        assert_eq!(text, "token [removed], ~/x, pid 4711, [removed]");
    }
}
