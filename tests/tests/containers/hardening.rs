//! Every line of the hardening, read back from inside: of `docker up` and of the compose file alike.

use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::classic::Compose;
use crate::support::{NAMES, Up, docker, inspect};

/// Prints, one a line: what the kernel says of the first process and of one that comes later, what is mounted, what the limits are.
const QUESTIONS: &str = r#"
for process in 1 self; do
  while read -r name value; do
    case $name in Uid:|CapInh:|CapPrm:|CapEff:|CapBnd:|CapAmb:|NoNewPrivs:|Seccomp:) echo "$process $name $value";; esac
  done < /proc/$process/status
done
for file in memory/memory.limit_in_bytes memory.max pids/pids.max pids.max cpu/cpu.cfs_quota_us cpu.max; do
  [ ! -r /sys/fs/cgroup/$file ] || echo "limit $file $(cat /sys/fs/cgroup/$file)"
done
while read -r device target kind options rest; do echo "mount $target $kind $options"; done < /proc/mounts
for place in / /usr /usr/local/bin /etc /home/mhnos /var/lib /var/run; do
  if touch $place/planted 2>/dev/null; then echo "written $place"; fi
done
for place in /tmp /home/mhnos/.cache /workspace /var/lib/mhnos; do
  if touch $place/planted && rm $place/planted; then echo "writable $place"; fi
done
find / -xdev -name '*.sock' -not -path '/proc/*' 2>/dev/null | sed 's/^/socket /'
find / -xdev -perm /6000 -type f 2>/dev/null | head -1 | xargs -r -n1 echo setuid-there
"#;

struct Answers(Vec<String>);

impl Answers {
    async fn of(name: &str) -> Self {
        let text = docker(&["exec", name, "bash", "-c", QUESTIONS]).await.done();
        Self(text.lines().map(str::to_owned).collect())
    }

    fn values(&self, beginning: &str) -> Vec<&str> {
        self.0.iter().filter_map(|line| Some(line.strip_prefix(beginning)?.trim())).collect()
    }

    fn limit(&self, first: &str, second: &str) -> String {
        // Of cgroups v1 and v2.
        let found = [first, second]
            .map(|name| self.values(&format!("limit {name} ")).first().map(|it| (*it).to_owned()));
        found.into_iter().flatten().next().unwrap_or_else(|| panic!("no limit: {:?}", self.0))
    }

    fn mount(&self, target: &str) -> (&str, Vec<&str>) {
        let line = self.values(&format!("mount {target} "));
        let (kind, options) =
            line.last().unwrap_or_else(|| panic!("{target} is not mounted")).split_once(' ').unwrap();
        (kind, options.split(',').collect())
    }
}

fn check(answers: &Answers, owner: u32, memory: u64) {
    for process in ["1", "self"] {
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(answers.values(&format!("{process} {set}")), ["0000000000000000"], "{process} {set}");
        }
        assert_eq!(answers.values(&format!("{process} NoNewPrivs:")), ["1"]);
        assert_eq!(answers.values(&format!("{process} Seccomp:")), ["2"], "the engine's filter");
        let ids = answers.values(&format!("{process} Uid:"));
        assert!(ids[0].split_whitespace().all(|id| id == owner.to_string()), "{ids:?}");
    }
    assert!(answers.mount("/").1.contains(&"ro"));
    for folder in ["/tmp", "/home/mhnos/.cache"] {
        let (kind, options) = answers.mount(folder);
        assert_eq!(kind, "tmpfs", "{folder}");
        assert!(options.contains(&"nosuid") && options.contains(&"nodev"), "{folder}: {options:?}");
    }
    assert_eq!(answers.values("written "), [""; 0]);
    assert_eq!(answers.values("writable "), ["/tmp", "/home/mhnos/.cache", "/workspace", "/var/lib/mhnos"]);
    assert_eq!(answers.limit("memory/memory.limit_in_bytes", "memory.max"), memory.to_string());
    assert_eq!(answers.limit("pids/pids.max", "pids.max"), "1024");
    let processors = answers.limit("cpu/cpu.cfs_quota_us", "cpu.max");
    assert!(processors.split(' ').next().unwrap().parse::<u32>().unwrap() <= 200_000, "{processors}");
    assert_eq!(answers.values("socket "), [""; 0], "no socket of anybody's");
    // From the disk: the workspace and the state, and what every container gets.
    let ours = ["/workspace", "/var/lib/mhnos", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts"];
    let kernel = ["/proc", "/sys", "/dev"];
    for mount in answers.values("mount ") {
        let target = mount.split(' ').next().unwrap();
        let is_expected = target == "/"
            || ours.contains(&target)
            || ["/tmp", "/home/mhnos/.cache"].contains(&target)
            || kernel.iter().any(|folder| target.starts_with(folder));
        assert!(is_expected, "{mount}");
    }
}

fn check_outside(found: &Value) {
    let host = &found["HostConfig"];
    assert_eq!(host["Privileged"], false);
    for namespace in ["PidMode", "UTSMode", "UsernsMode"] {
        assert_eq!(host[namespace], "", "{namespace} is its own");
    }
    assert_ne!(host["IpcMode"], "host");
    assert!(
        !["host", "bridge", "default"].contains(&host["NetworkMode"].as_str().unwrap()),
        "a network of its own"
    );
    assert!(host["Devices"].as_array().is_none_or(Vec::is_empty));
    for bindings in found["NetworkSettings"]["Ports"].as_object().unwrap().values() {
        for binding in bindings.as_array().into_iter().flatten() {
            assert!(["127.0.0.1", "::1"].contains(&binding["HostIp"].as_str().unwrap()), "{binding}");
        }
    }
    assert_eq!(host["LogConfig"]["Config"]["max-size"], "10m");
    assert_eq!(host["LogConfig"]["Config"]["max-file"], "3");
}

#[tokio::test]
async fn of_docker_up() {
    for (is_usual, memory) in [(true, 4_u64 << 30), (false, 8 << 30)] {
        let up = if is_usual { Up::new().await } else { Up::openclaw().await };
        let owner = up.workspace().metadata().unwrap().uid();
        check(&Answers::of(up.name).await, owner, memory);
        check_outside(&inspect(up.name).await);
    }
}

#[tokio::test]
async fn of_the_compose_file() {
    let compose = Compose::up(&["--profile", "openclaw"]).await;
    for (name, memory) in [(NAMES[0], 4_u64 << 30), (NAMES[1], 8 << 30)] {
        check(&Answers::of(name).await, compose.owner(), memory);
        check_outside(&inspect(name).await);
    }
}

#[tokio::test]
async fn nothing_secret_is_shown_by_the_engine() {
    let up = Up::new().await;
    let token = up.inside("cat /var/lib/mhnos/state/token").await;
    assert!(token.trim().len() >= 32);
    assert!(!inspect(up.name).await.to_string().contains(token.trim()));
    let log = docker(&["logs", up.name]).await;
    assert!(!(log.stdout + &log.stderr).contains(token.trim()));
}

#[tokio::test]
async fn programs_are_also_confined_by_the_runtimes_own_sandbox() {
    let up = Up::new().await;
    let health = up.inside("mhnos-runtime health").await;
    assert!(health.contains("strict (Landlock ABI"), "{health}");
    let mut page = up.page().await;
    // The state, with the token, is closed to programs that the engine would let in.
    let pid = page.bash("cat /var/lib/mhnos/state/token; echo done").await;
    let run = page.run(pid).await;
    assert!(run.stdout.contains("Permission denied"), "{run:?}");
}
