//! What an engine is, and what a person should know of it.

use bollard::models::{SystemInfo, SystemVersion};

use crate::find::Address;

/// The first engine that keeps neighbours on the network from ports published on loopback (moby #45610).
const CLOSES_LOOPBACK: u32 = 28;

/// An engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `Docker` or `Podman`.
    pub product: &'static str,
    /// Its version.
    pub version: String,
    /// The version of the interface it speaks at most.
    pub interface: String,
    /// The system it runs on.
    pub system: String,
    /// Its processors.
    pub processors: u32,
    /// Its memory, in bytes.
    pub memory: u64,
    /// What to know before trusting it, each a sentence that says what to do.
    pub warnings: Vec<String>,
}

impl About {
    pub(crate) fn new(version: &SystemVersion, info: &SystemInfo, address: &Address) -> Self {
        let components = version.components.as_deref().unwrap_or_default();
        let is_podman = components.iter().any(|component| component.name.contains("Podman"));
        let product = if is_podman { "Podman" } else { "Docker" };
        let number = version.version.clone().unwrap_or_default();
        let mut warnings = Vec::new();
        if is_podman {
            warnings.push(
                "Podman is used through the interface it shares with Docker, and no test of ours runs on it; with its older network (CNI) the port \
                 answers on 127.0.0.1 only"
                    .into(),
            );
        } else if major(&number).is_some_and(|major| major < CLOSES_LOOPBACK) {
            warnings.push(format!(
                "Docker {number} lets other machines of the same network reach ports that are published on 127.0.0.1; the \
                 runtime still lets nobody in who is not allowed. Docker {CLOSES_LOOPBACK} closes this: update it"
            ));
        }
        let lacks = |has: Option<bool>| has == Some(false);
        if lacks(info.memory_limit) || lacks(info.pids_limit) {
            warnings.push(
                "the engine cannot limit memory or processes, so programs can use all of this machine's: switch the memory and \
                 pids controllers of cgroups on"
                    .into(),
            );
        }
        let confines = |text: &str| text.contains("seccomp") && !text.contains("unconfined");
        if !is_podman && !info.security_options.iter().flatten().any(|option| confines(option)) {
            warnings.push(
                "the engine does not filter system calls: use a kernel and an engine with seccomp".into(),
            );
        }
        if let Address::Tcp(address) = address
            && !["127.0.0.1:", "localhost:", "[::1]:"].iter().any(|own| address.starts_with(own))
        {
            warnings.push(format!(
                "the engine at {address} is on another machine: the workspace would be a folder there, and the connection is not \
                 encrypted. Name one of this machine with DOCKER_HOST"
            ));
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        Self {
            product,
            version: number,
            interface: text(&version.api_version),
            system: text(&info.operating_system),
            processors: info.ncpu.and_then(|number| u32::try_from(number).ok()).unwrap_or_default(),
            memory: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
            warnings,
        }
    }
}

fn major(version: &str) -> Option<u32> {
    version.split(['.', '+', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bollard::models::SystemVersionComponents;

    use super::*;

    fn about(version: &str, component: &str, address: Address) -> About {
        let component =
            SystemVersionComponents { name: component.into(), ..SystemVersionComponents::default() };
        let version = SystemVersion {
            version: Some(version.into()),
            components: Some(vec![component]),
            ..SystemVersion::default()
        };
        let info = SystemInfo {
            memory_limit: Some(true),
            pids_limit: Some(true),
            security_options: Some(vec!["name=seccomp,profile=default".into()]),
            ..SystemInfo::default()
        };
        About::new(&version, &info, &address)
    }

    #[test]
    fn an_old_engine_is_warned_of_and_a_new_one_is_not() {
        let socket = || Address::Socket("/var/run/docker.sock".into());
        let old = about("20.10.24+dfsg1", "Engine", socket());
        assert_eq!(old.warnings.len(), 1);
        assert!(old.warnings[0].contains("20.10.24") && old.warnings[0].contains("update"));
        assert_eq!(about("28.0.1", "Engine", socket()).warnings, [""; 0]);
        assert!(
            about("28.0.1", "Engine", Address::Tcp("10.0.0.2:2375".into())).warnings[0]
                .contains("another machine")
        );
        let podman = about("5.2.0", "Podman Engine", socket());
        assert_eq!(podman.product, "Podman");
        assert!(podman.warnings[0].contains("no test of ours"));
    }
}
