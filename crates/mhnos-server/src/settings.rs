//! The settings, and where each comes from: a flag of `serve` wins over the environment, that over the settings file
//! (`settings.json` in the state folder), that over the default.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use mhnos_process::sandbox::Mode;
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;

use crate::origin::Origin;
use crate::state::StateDirectory;

/// Flags of `mhnos-runtime serve`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ServeArguments {
    /// Port to listen on; 0 takes any free one [env: MHNOS_RUNTIME_PORT] [default: 18790]
    #[arg(long)]
    pub port: Option<u16>,
    /// Folder the programs work in [env: MHNOS_WORKSPACE] [default: ~/mhnos-workspace]
    #[arg(long, value_name = "FOLDER")]
    pub workspace: Option<PathBuf>,
    /// Web page that may use the runtime, as http://host:port, or `loopback` for every page of this machine; repeatable
    /// [env: MHNOS_ALLOWED_ORIGINS, separated by commas]
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// Further host:port under which the runtime may be addressed, or `loopback` for localhost with any port; repeatable
    /// [env: MHNOS_ALLOWED_HOSTS]
    #[arg(long = "allow-host", value_name = "HOST:PORT")]
    pub allow_host: Vec<String>,
    /// What programs may touch. strict: write the workspace, read the system. relaxed: read all you can, too.
    /// none: whatever YOU can [env: MHNOS_SANDBOX] [default: strict]
    #[arg(long, value_name = "MODE")]
    pub sandbox: Option<String>,
    /// Let pages start the OpenClaw agent [env: MHNOS_ALLOW_OPENCLAW=true]
    #[arg(long)]
    pub allow_openclaw: bool,
    /// Programs that may run at once [env: MHNOS_MAX_PROCESSES] [default: 50]
    #[arg(long, value_name = "NUMBER")]
    pub max_processes: Option<u32>,
    /// Memory one program and its children may use, such as 512m or 2g [env: MHNOS_MAX_MEMORY] [default: 1g]
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<String>,
    /// How much is logged: error, warn, info, debug or trace [env: MHNOS_LOG_LEVEL] [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Listen on this address as well, so that OTHER MACHINES can reach the runtime. Inside a container this is needed and
    /// harmless; anywhere else it is dangerous
    #[arg(long, value_name = "ADDRESS")]
    pub dangerously_listen_on: Option<IpAddr>,
}

/// All settings, complete and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// Folder the programs work in.
    pub workspace: PathBuf,
    /// Origins that need no approval.
    pub allowed_origins: Vec<Origin>,
    /// Whether pages served from this machine need none.
    pub allow_loopback_origins: bool,
    /// Further values of `Host` that are accepted.
    pub allowed_hosts: Vec<String>,
    /// What programs may touch.
    pub sandbox: Mode,
    /// Whether OpenClaw may be started.
    pub allow_openclaw: bool,
    /// Programs at once.
    pub max_processes: u32,
    /// Bytes of memory per program's tree.
    pub max_memory: u64,
    /// Up to what level is logged.
    pub log_level: LevelFilter,
    /// A further address to listen on.
    pub dangerous_address: Option<IpAddr>,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value.
    #[error("{source_name} has a value that cannot be used, {value:?}: {remedy}")]
    Value {
        /// Flag, variable or field.
        source_name: String,
        /// As given.
        value: String,
        /// What would be right.
        remedy: String,
    },
    /// The file.
    #[error("the settings file {file} cannot be used: {reason}: correct it or remove it")]
    File {
        /// Its path.
        file: String,
        /// Why.
        reason: String,
    },
    /// No home folder, and no workspace named.
    #[error("there is no home folder to keep a workspace in: name one with --workspace")]
    NoHome,
}

/// The settings file. Field names are those of the wire.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SettingsFile {
    port: Option<u16>,
    workspace: Option<PathBuf>,
    allowed_origins: Option<Vec<String>>,
    allowed_hosts: Option<Vec<String>>,
    sandbox: Option<String>,
    allow_openclaw: Option<bool>,
    max_processes: Option<u32>,
    max_memory: Option<String>,
    log_level: Option<String>,
}

/// A value and the name of where it stands, for the error.
struct Found<T> {
    value: T,
    name: String,
}

impl Settings {
    /// Gathers the settings.
    ///
    /// # Errors
    /// Names the flag, variable or field that cannot be used, and what would be right.
    pub fn load(arguments: &ServeArguments, state: &StateDirectory) -> Result<Self, SettingsError> {
        Self::gather(
            arguments,
            &|name| std::env::var(name).ok().filter(|value| !value.is_empty()),
            read_file(state)?,
        )
    }

    fn gather(
        arguments: &ServeArguments,
        environment: &dyn Fn(&str) -> Option<String>,
        file: SettingsFile,
    ) -> Result<Self, SettingsError> {
        // Each setting as text, from the first place that has it.
        let pick = |flag: Option<String>,
                    flag_name: &str,
                    variable: &str,
                    field: Option<String>,
                    field_name: &str| {
            let found = |value, name: &str| Found { value, name: name.to_owned() };
            flag.map(|value| found(value, flag_name))
                .or_else(|| environment(variable).map(|value| found(value, variable)))
                .or_else(|| field.map(|value| found(value, &format!("the settings file's `{field_name}`"))))
        };
        let list = |flags: &[String]| (!flags.is_empty()).then(|| flags.join(","));
        let text = |value: &PathBuf| value.display().to_string();

        let port = pick(
            arguments.port.map(|port| port.to_string()),
            "--port",
            "MHNOS_RUNTIME_PORT",
            file.port.map(|port| port.to_string()),
            "port",
        );
        let workspace = pick(
            arguments.workspace.as_ref().map(text),
            "--workspace",
            "MHNOS_WORKSPACE",
            file.workspace.as_ref().map(text),
            "workspace",
        );
        let origins = pick(
            list(&arguments.allow_origin),
            "--allow-origin",
            "MHNOS_ALLOWED_ORIGINS",
            file.allowed_origins.as_deref().and_then(list),
            "allowedOrigins",
        );
        let hosts = pick(
            list(&arguments.allow_host),
            "--allow-host",
            "MHNOS_ALLOWED_HOSTS",
            file.allowed_hosts.as_deref().and_then(list),
            "allowedHosts",
        );
        let sandbox = pick(arguments.sandbox.clone(), "--sandbox", "MHNOS_SANDBOX", file.sandbox, "sandbox");
        let openclaw = pick(
            arguments.allow_openclaw.then(|| "true".into()),
            "--allow-openclaw",
            "MHNOS_ALLOW_OPENCLAW",
            file.allow_openclaw.map(|allow| allow.to_string()),
            "allowOpenclaw",
        );
        let processes = pick(
            arguments.max_processes.map(|number| number.to_string()),
            "--max-processes",
            "MHNOS_MAX_PROCESSES",
            file.max_processes.map(|number| number.to_string()),
            "maxProcesses",
        );
        let memory = pick(
            arguments.max_memory.clone(),
            "--max-memory",
            "MHNOS_MAX_MEMORY",
            file.max_memory,
            "maxMemory",
        );
        let level =
            pick(arguments.log_level.clone(), "--log-level", "MHNOS_LOG_LEVEL", file.log_level, "logLevel");

        let (allowed_origins, allow_loopback_origins) = match origins {
            None => (Vec::new(), false),
            Some(found) => {
                let names: Vec<&str> = split(&found.value).collect();
                let exact = names.iter().filter(|&&name| name != "loopback");
                let origins = exact
                    .map(|name| {
                        Origin::from_setting(name)
                            .ok_or_else(|| wrong(&found.name, name, "use http://host:port, or loopback"))
                    })
                    .collect::<Result<_, _>>()?;
                (origins, names.contains(&"loopback"))
            }
        };
        Ok(Self {
            port: parse(port, "use a number from 0 to 65535")?.unwrap_or(18790),
            workspace: match workspace {
                Some(found) => std::path::absolute(&found.value)
                    .map_err(|error| wrong(&found.name, &found.value, &error.to_string()))?,
                None => home().ok_or(SettingsError::NoHome)?.join("mhnos-workspace"),
            },
            allowed_origins,
            allow_loopback_origins,
            allowed_hosts: hosts
                .map(|found| split(&found.value).map(str::to_ascii_lowercase).collect())
                .unwrap_or_default(),
            sandbox: parse(sandbox, "use strict, relaxed or none")?.unwrap_or(Mode::Strict),
            allow_openclaw: parse(openclaw, "use true or false")?.unwrap_or(false),
            max_processes: parse(processes, "use a whole number")?.unwrap_or(50),
            max_memory: match memory {
                Some(found) => bytes(&found.value)
                    .ok_or_else(|| wrong(&found.name, &found.value, "use a size such as 512m or 2g"))?,
                None => 1 << 30,
            },
            log_level: parse(level, "use error, warn, info, debug or trace")?.unwrap_or(LevelFilter::INFO),
            dangerous_address: arguments.dangerously_listen_on,
        })
    }
}

fn home() -> Option<PathBuf> {
    directories::BaseDirs::new().map(|directories| directories.home_dir().to_owned())
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn wrong(source_name: &str, value: &str, remedy: &str) -> SettingsError {
    SettingsError::Value { source_name: source_name.into(), value: value.into(), remedy: remedy.into() }
}

fn parse<T: FromStr>(found: Option<Found<String>>, remedy: &str) -> Result<Option<T>, SettingsError> {
    found
        .map(|found| found.value.trim().parse().map_err(|_| wrong(&found.name, &found.value, remedy)))
        .transpose()
}

/// Bytes of a size such as `1g`, `512m`, `64k` or a plain number.
fn bytes(size: &str) -> Option<u64> {
    let size = size.trim().to_ascii_lowercase();
    let size = size.strip_suffix("ib").or_else(|| size.strip_suffix('b')).unwrap_or(&size);
    let (number, shift) = match size.as_bytes().last()? {
        b'k' => (&size[..size.len() - 1], 10),
        b'm' => (&size[..size.len() - 1], 20),
        b'g' => (&size[..size.len() - 1], 30),
        b't' => (&size[..size.len() - 1], 40),
        _ => (size, 0),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift).filter(|&bytes| bytes > 0)
}

fn read_file(state: &StateDirectory) -> Result<SettingsFile, SettingsError> {
    let path = state.path().join("settings.json");
    let failed = |reason: String| SettingsError::File { file: path.display().to_string(), reason };
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| failed(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(SettingsFile::default()),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
        let file = || serde_json::from_str(r#"{"port": 3, "maxProcesses": 7, "maxMemory": "2g"}"#).unwrap();
        let environment =
            |name: &str| (name == "MHNOS_RUNTIME_PORT" || name == "MHNOS_MAX_MEMORY").then(|| "2".into());
        let flags =
            ServeArguments { port: Some(1), workspace: Some("/w".into()), ..ServeArguments::default() };
        let settings = Settings::gather(&flags, &environment, file()).unwrap();
        assert_eq!((settings.port, settings.max_processes, settings.max_memory), (1, 7, 2));
        let settings = Settings::gather(&ServeArguments::default(), &environment, file()).unwrap();
        assert_eq!(settings.port, 2);
        let settings = Settings::gather(&ServeArguments::default(), &|_| None, file()).unwrap();
        assert_eq!((settings.port, settings.max_memory, settings.sandbox), (3, 2 << 30, Mode::Strict));
        assert!(!settings.allow_openclaw && !settings.allow_loopback_origins);
        let settings =
            Settings::gather(&ServeArguments::default(), &|_| None, SettingsFile::default()).unwrap();
        assert_eq!((settings.port, settings.max_processes, settings.max_memory), (18790, 50, 1 << 30));
        assert!(settings.workspace.ends_with("mhnos-workspace"));
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named() {
        let refuse = |name: &'static str, value: &'static str| {
            let environment = move |asked: &str| (asked == name).then(|| value.into());
            Settings::gather(&ServeArguments::default(), &environment, SettingsFile::default())
                .unwrap_err()
                .to_string()
        };
        assert!(refuse("MHNOS_RUNTIME_PORT", "http").contains("MHNOS_RUNTIME_PORT"));
        assert!(refuse("MHNOS_SANDBOX", "loose").contains("strict, relaxed or none"));
        assert!(refuse("MHNOS_MAX_MEMORY", "lots").contains("512m"));
        assert!(refuse("MHNOS_ALLOWED_ORIGINS", "http://a:1,localhost").contains("\"localhost\""));
        assert!(refuse("MHNOS_ALLOW_OPENCLAW", "yes").contains("true or false"));
    }

    #[test]
    fn sizes_are_understood() {
        assert_eq!(bytes("1g"), Some(1 << 30));
        assert_eq!(bytes("512 MB"), Some(512 << 20));
        assert_eq!(bytes("64KiB"), Some(64 << 10));
        assert_eq!(bytes("10"), Some(10));
        assert_eq!((bytes("0"), bytes(""), bytes("g"), bytes("99999999999g")), (None, None, None, None));
    }
}
