//! What a person chose: for this app (`desktop.json` in the state folder), and for the bridge (`settings.json` there, which `serve` reads).
//!
//! The bridge's own rules say what can be used, and what wins: a variable of the environment over the file. What is overridden in this
//! way is named, so that the page does not offer what would change nothing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use mhnos_server::settings::{ServeArguments, Settings};
use mhnos_server::state::StateDirectory;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::autostart;
use crate::engine::Kind;

/// Choices for this app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct AppSettings {
    /// What runs the bridge.
    pub(crate) engine: Kind,
    /// Whether the app starts with the session. Read from where the system looks, never from the file.
    pub(crate) launch_at_login: bool,
    /// Whether it starts without its window.
    pub(crate) start_hidden: bool,
    /// Whether it starts the bridge when it starts.
    pub(crate) start_runtime: bool,
    /// Whether it stays in the tray when its window is closed.
    pub(crate) close_to_tray: bool,
    /// Whether it says by notifications what fails and what waits.
    pub(crate) notifications: bool,
    /// Where MHNOS is.
    pub(crate) mhnos_address: String,
    /// Whether the first steps were shown.
    pub(crate) first_run_done: bool,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            engine: Kind::Native,
            launch_at_login: false,
            start_hidden: false,
            start_runtime: true,
            close_to_tray: true,
            notifications: true,
            mhnos_address: "http://localhost:8000".into(),
            first_run_done: false,
        }
    }
}

/// Choices for the bridge, as they hold now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RuntimeSettings {
    port: u16,
    workspace: PathBuf,
    sandbox: String,
    allow_openclaw: bool,
    max_processes: u32,
    max_memory: u64,
    allowed_origins: Vec<String>,
    log_level: String,
}

/// All of it, as the page shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Everything {
    app: AppSettings,
    runtime: RuntimeSettings,
    /// Fields of `runtime` that the environment decides.
    overridden: Vec<&'static str>,
}

/// What a page changes. Fields that are absent stay.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Changes {
    app: Map<String, Value>,
    runtime: Map<String, Value>,
}

impl Changes {
    /// Of one choice for the app.
    pub(crate) fn app(name: &str, value: Value) -> Self {
        Self { app: Map::from_iter([(name.to_owned(), value)]), runtime: Map::new() }
    }

    /// Of one choice for the bridge.
    pub(crate) fn runtime(name: &str, value: Value) -> Self {
        Self { app: Map::new(), runtime: Map::from_iter([(name.to_owned(), value)]) }
    }
}

/// A field of the bridge's settings file, and the variable that wins over it.
const RUNTIME_FIELDS: [(&str, &str); 8] = [
    ("port", "MHNOS_RUNTIME_PORT"),
    ("workspace", "MHNOS_WORKSPACE"),
    ("sandbox", "MHNOS_SANDBOX"),
    ("allowOpenclaw", "MHNOS_ALLOW_OPENCLAW"),
    ("maxProcesses", "MHNOS_MAX_PROCESSES"),
    ("maxMemory", "MHNOS_MAX_MEMORY"),
    ("allowedOrigins", "MHNOS_ALLOWED_ORIGINS"),
    ("logLevel", "MHNOS_LOG_LEVEL"),
];

/// Why settings cannot be read or kept; a sentence for the person.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsFailure {
    /// The bridge's own rules.
    #[error(transparent)]
    Rules(#[from] mhnos_server::settings::SettingsError),
    /// A field there is not, or of the wrong kind.
    #[error("the setting cannot be used: {0}")]
    Field(String),
    /// A file.
    #[error("{file} cannot be written: {error}: check its owner and permissions")]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The session's list of what starts at login.
    #[error("launch at login cannot be changed: {0}")]
    Autostart(std::io::Error),
}

fn app_file(state: &StateDirectory) -> PathBuf {
    state.path().join("desktop.json")
}

fn runtime_file(state: &StateDirectory) -> PathBuf {
    state.path().join("settings.json")
}

/// The choices for this app. A file that cannot be understood counts as none.
pub(crate) fn app(state: &StateDirectory) -> AppSettings {
    let read = fs::read(app_file(state)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    AppSettings { launch_at_login: autostart::is_on(), ..read.unwrap_or_default() }
}

/// Everything, as it holds now.
///
/// # Errors
/// When the bridge's settings cannot be used.
pub(crate) fn everything(state: &StateDirectory) -> Result<Everything, SettingsFailure> {
    let settings = Settings::load(&ServeArguments::default(), state)?;
    let mut allowed_origins: Vec<_> = settings.allowed_origins.iter().map(ToString::to_string).collect();
    if settings.allow_loopback_origins {
        allowed_origins.push("loopback".into());
    }
    let is_set = |variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty());
    Ok(Everything {
        app: app(state),
        runtime: RuntimeSettings {
            port: settings.port,
            workspace: settings.workspace,
            sandbox: settings.sandbox.name().into(),
            allow_openclaw: settings.allow_openclaw,
            max_processes: settings.max_processes,
            max_memory: settings.max_memory,
            allowed_origins,
            log_level: settings.log_level.to_string(),
        },
        overridden: RUNTIME_FIELDS
            .iter()
            .filter(|(_, variable)| is_set(variable))
            .map(|(field, _)| *field)
            .collect(),
    })
}

/// Keeps what was changed. Nothing is changed when any of it cannot be used.
///
/// # Errors
/// Says which field cannot be used and what would be right, or which file could not be written.
pub(crate) fn save(state: &StateDirectory, changes: Changes) -> Result<(), SettingsFailure> {
    let before = app(state);
    let merged = merged_app(&before, changes.app)?;
    let changed = changed_runtime(state, changes.runtime);
    if !changed.is_empty() {
        save_runtime(state, changed)?;
    }
    if merged.launch_at_login != before.launch_at_login {
        autostart::turn(merged.launch_at_login).map_err(SettingsFailure::Autostart)?;
    }
    write(&app_file(state), &merged)
}

/// Forgets all of it.
///
/// # Errors
/// When a file cannot be removed.
pub(crate) fn forget(state: &StateDirectory) -> Result<(), SettingsFailure> {
    autostart::turn(false).map_err(SettingsFailure::Autostart)?;
    for file in [app_file(state), runtime_file(state)] {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(SettingsFailure::File { file, error });
            }
            _ => {}
        }
    }
    Ok(())
}

fn merged_app(before: &AppSettings, changes: Map<String, Value>) -> Result<AppSettings, SettingsFailure> {
    let wrong = |error: serde_json::Error| SettingsFailure::Field(error.to_string());
    let Value::Object(mut fields) = serde_json::to_value(before).map_err(wrong)? else {
        return Ok(before.clone());
    };
    for (name, value) in changes {
        if !fields.contains_key(&name) {
            return Err(SettingsFailure::Field(format!("there is no {name}")));
        }
        fields.insert(name, value);
    }
    let merged: AppSettings = serde_json::from_value(Value::Object(fields)).map_err(wrong)?;
    if merged.engine == Kind::Existing {
        return Err(SettingsFailure::Field("the engine is native or docker".into()));
    }
    if !is_web_address(&merged.mhnos_address) {
        return Err(SettingsFailure::Field("MHNOS has an address such as http://localhost:8000".into()));
    }
    Ok(merged)
}

/// Whether a browser may be sent there.
pub(crate) fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// What differs from what holds now: a page sends all it shows, and what it only shows must not become a choice.
fn changed_runtime(state: &StateDirectory, mut changes: Map<String, Value>) -> Map<String, Value> {
    if let Ok(now) = everything(state)
        && let Ok(now) = serde_json::to_value(now.runtime)
    {
        changes.retain(|name, value| now.get(name) != Some(value));
    }
    changes
}

fn save_runtime(state: &StateDirectory, changes: Map<String, Value>) -> Result<(), SettingsFailure> {
    let file = runtime_file(state);
    let earlier = fs::read(&file).ok();
    let mut fields: Map<String, Value> =
        earlier.as_ref().and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
    for (name, value) in changes {
        if !RUNTIME_FIELDS.iter().any(|(field, _)| *field == name) {
            return Err(SettingsFailure::Field(format!("there is no {name}")));
        }
        // A size is text in the file, such as `2g`; the page may have it in bytes.
        let value = match value {
            Value::Number(bytes) if name == "maxMemory" => Value::String(bytes.to_string()),
            other => other,
        };
        // `null`: the default again.
        if value.is_null() {
            fields.remove(&name)
        } else {
            fields.insert(name, value)
        };
    }
    write(&file, &fields)?;
    // The bridge's own rules decide; what they refuse is taken back.
    if let Err(error) = Settings::load(&ServeArguments::default(), state) {
        match earlier {
            Some(text) => fs::write(&file, text),
            None => fs::remove_file(&file),
        }
        .map_err(|error| SettingsFailure::File { file, error })?;
        return Err(error.into());
    }
    Ok(())
}

/// Replaces a file at once.
fn write(file: &Path, content: &impl Serialize) -> Result<(), SettingsFailure> {
    let folder = file.parent().unwrap_or(file);
    let written = serde_json::to_vec_pretty(content).map_err(std::io::Error::other).and_then(|text| {
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(&text)?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    });
    written.map_err(|error| SettingsFailure::File { file: file.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(text: &str) -> Changes {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_named_stays_and_what_cannot_be_used_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::open(Some(&folder.path().join("state"))).unwrap();
        save(&state, changes(r#"{"app":{"startHidden":true},"runtime":{"port":20001,"maxMemory":1048576}}"#))
            .unwrap();
        save(&state, changes(r#"{"runtime":{"maxProcesses":7}}"#)).unwrap();
        assert!(app(&state).start_hidden && app(&state).close_to_tray);
        let kept = fs::read_to_string(runtime_file(&state)).unwrap();
        let wrong = save(&state, changes(r#"{"app":{"startHidden":false},"runtime":{"sandbox":"loose"}}"#));
        assert!(wrong.unwrap_err().to_string().contains("strict, relaxed or none"));
        assert_eq!(fs::read_to_string(runtime_file(&state)).unwrap(), kept);
        assert!(app(&state).start_hidden, "nothing was changed");
        let runtime = everything(&state).unwrap().runtime;
        assert_eq!((runtime.port, runtime.max_processes, runtime.max_memory), (20001, 7, 1 << 20));
        assert!(save(&state, changes(r#"{"app":{"mhnosAddress":"file:///etc/passwd"}}"#)).is_err());
        assert!(save(&state, changes(r#"{"app":{"unknown":1}}"#)).is_err());
        assert!(save(&state, changes(r#"{"app":{"engine":"existing"}}"#)).is_err());
    }
}
