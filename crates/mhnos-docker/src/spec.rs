//! What a container of ours is to be, in one value.
//!
//! The container carries what it was made from as a label, in plain text: there is no secret in it. A container whose label says
//! something else than the spec of today is made anew.

use std::collections::HashMap;
use std::path::PathBuf;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};

/// The label that says what a container was made from.
pub(crate) const SPEC_LABEL: &str = "mhnos.spec";

/// The network both variants are on.
pub(crate) const NETWORK: &str = "mhnos-runtime";

const SECOND: i64 = 1_000_000_000;

/// Which image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Node, Python, workerd, shells.
    Usual,
    /// OpenClaw as well.
    Openclaw,
}

impl Variant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Usual, Self::Openclaw];

    /// The image's name.
    pub fn image(self) -> &'static str {
        match self {
            Self::Usual => "mhnos/runtime:latest",
            Self::Openclaw => "mhnos/runtime:openclaw",
        }
    }

    /// The container's name.
    pub fn container(self) -> &'static str {
        match self {
            Self::Usual => "mhnos-runtime",
            Self::Openclaw => "mhnos-runtime-openclaw",
        }
    }

    /// The name of the volume that keeps the state.
    pub fn volume(self) -> &'static str {
        match self {
            Self::Usual => "mhnos-runtime-state",
            Self::Openclaw => "mhnos-runtime-openclaw-state",
        }
    }

    /// What the name of its workspace ends with where a person has not named the folder.
    pub fn workspace_suffix(self) -> &'static str {
        match self {
            Self::Usual => "",
            Self::Openclaw => "-openclaw",
        }
    }

    /// The port it usually has.
    pub fn port(self) -> u16 {
        match self {
            Self::Usual => 18790,
            Self::Openclaw => 18791,
        }
    }

    /// The limits it usually has.
    pub fn limits(self) -> Limits {
        let memory = match self {
            Self::Usual => 4 << 30,
            Self::Openclaw => 8 << 30,
        };
        Limits { memory, processors: 2, processes: 1024 }
    }
}

/// What all programs in the container may use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: u64,
    /// Processors; fewer where the engine has fewer.
    pub processors: u32,
    /// Processes and threads.
    pub processes: u32,
}

/// Who the container's programs are, outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A container that is wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Which image.
    pub variant: Variant,
    /// The port, inside and outside, published on both loopback addresses.
    pub port: u16,
    /// The folder that is `/workspace` inside, without symbolic links in its path.
    pub workspace: PathBuf,
    /// Whom files belong to. Never root.
    pub owner: Owner,
    /// Limits.
    pub limits: Limits,
    /// Web pages that need no approval.
    pub allowed_origins: Vec<String>,
}

impl Spec {
    /// What the label of a container made from it says; `image` is the image's id.
    pub(crate) fn label(&self, image: &str) -> String {
        format!("{self:?} {image}")
    }

    /// The container, for an engine with so many processors and an image of this id.
    pub(crate) fn container(&self, image: &str, processors: u32) -> ContainerCreateBody {
        let port = format!("{}/tcp", self.port);
        let mut environment = vec![
            format!("MHNOS_RUNTIME_PORT={}", self.port),
            format!("MHNOS_CALLED_AS=docker exec {} mhnos-runtime", self.variant.container()),
        ];
        if !self.allowed_origins.is_empty() {
            environment.push(format!("MHNOS_ALLOWED_ORIGINS={}", self.allowed_origins.join(",")));
        }
        if self.variant == Variant::Openclaw {
            // OpenClaw alone needs more than a program usually gets.
            environment.push("MHNOS_MAX_MEMORY=4g".into());
        }
        ContainerCreateBody {
            image: Some(self.variant.image().into()),
            user: Some(format!("{}:{}", self.owner.uid, self.owner.gid)),
            env: Some(environment),
            exposed_ports: Some(vec![port.clone()]),
            labels: Some(HashMap::from([(SPEC_LABEL.into(), self.label(image))])),
            healthcheck: Some(HealthConfig {
                test: Some(["CMD", "mhnos-runtime", "health"].map(str::to_owned).into()),
                interval: Some(10 * SECOND),
                timeout: Some(5 * SECOND),
                retries: Some(3),
                start_period: Some(10 * SECOND),
                // Engines before 25 do not know it.
                start_interval: Some(SECOND),
            }),
            host_config: Some(self.host(port, processors)),
            ..ContainerCreateBody::default()
        }
    }

    fn host(&self, port: String, processors: u32) -> HostConfig {
        let published = |address: &str| PortBinding {
            host_ip: Some(address.into()),
            host_port: Some(self.port.to_string()),
        };
        let mount = |kind, source: String, target: &str| Mount {
            typ: Some(kind),
            source: Some(source),
            target: Some(target.into()),
            ..Mount::default()
        };
        let temporary = "rw,nosuid,nodev,mode=1777,size=256m";
        HostConfig {
            port_bindings: Some(HashMap::from([(
                port,
                Some(vec![published("127.0.0.1"), published("::1")]),
            )])),
            mounts: Some(vec![
                mount(MountType::BIND, self.workspace.display().to_string(), "/workspace"),
                mount(MountType::VOLUME, self.variant.volume().into(), "/var/lib/mhnos"),
            ]),
            network_mode: Some(NETWORK.into()),
            readonly_rootfs: Some(true),
            tmpfs: Some(HashMap::from(
                ["/tmp", "/home/mhnos/.cache"].map(|folder| (folder.into(), temporary.into())),
            )),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges:true".into()]),
            pids_limit: Some(self.limits.processes.into()),
            memory: Some(i64::try_from(self.limits.memory).unwrap_or(i64::MAX)),
            nano_cpus: Some(i64::from(self.limits.processors.min(processors).max(1)) * SECOND),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".into()),
                config: Some(HashMap::from([
                    ("max-size".into(), "10m".into()),
                    ("max-file".into(), "3".into()),
                ])),
            }),
            ..HostConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            variant: Variant::Usual,
            port: 18790,
            workspace: "/home/me/mhnos-workspace".into(),
            owner: Owner { uid: 1000, gid: 1000 },
            limits: Variant::Usual.limits(),
            allowed_origins: vec![],
        }
    }

    #[test]
    fn the_label_tells_every_change() {
        let changes: [fn(&mut Spec); 6] = [
            |spec| spec.variant = Variant::Openclaw,
            |spec| spec.port = 1,
            |spec| spec.workspace = "/other".into(),
            |spec| spec.owner.uid = 1,
            |spec| spec.limits.memory = 1,
            |spec| spec.allowed_origins.push("http://localhost:8000".into()),
        ];
        for change in changes {
            let mut other = spec();
            change(&mut other);
            assert_ne!(other.label("sha256:1"), spec().label("sha256:1"));
        }
        assert_ne!(spec().label("sha256:2"), spec().label("sha256:1"));
        assert_eq!(spec().label("sha256:1"), spec().label("sha256:1"));
    }

    #[test]
    fn nothing_is_published_beyond_this_machine_and_nothing_is_mounted_but_two() {
        let host = spec().container("sha256:1", 1).host_config.unwrap();
        let bindings = host.port_bindings.unwrap().remove("18790/tcp").flatten().unwrap();
        let addresses: Vec<_> = bindings.into_iter().map(|binding| binding.host_ip.unwrap()).collect();
        assert_eq!(addresses, ["127.0.0.1", "::1"]);
        let targets: Vec<_> = host.mounts.unwrap().into_iter().map(|mount| mount.target.unwrap()).collect();
        assert_eq!(targets, ["/workspace", "/var/lib/mhnos"]);
        assert_eq!((host.binds, host.privileged, host.cap_add), (None, None, None));
        assert_eq!(host.nano_cpus, Some(SECOND), "no more processors than there are");
    }
}
