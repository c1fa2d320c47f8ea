use std::collections::HashMap;
use std::os::unix::net::UnixListener;

use super::*;

/// A machine in a folder.
struct Machine {
    folder: tempfile::TempDir,
    variables: HashMap<&'static str, String>,
}

impl Machine {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: HashMap::new() }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn listen(&self, path: &str) -> UnixListener {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        UnixListener::bind(path).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn find(&self) -> Result<Found, DockerError> {
        find_in(&Surroundings {
            variable: &|name| self.variables.get(name).cloned(),
            home: Some(self.path("home")),
            root: self.path("root"),
        })
    }
}

const CONTEXT: &str = "home/.docker/contexts/meta/0123abcd/meta.json";

#[test]
fn what_was_said_comes_first_and_in_order() {
    let mut machine = Machine::new();
    let _default = machine.listen("root/var/run/docker.sock");
    machine.write("home/.docker/config.json", r#"{"auths": {}, "currentContext": "far"}"#);
    machine.write(CONTEXT, r#"{"Name": "far", "Endpoints": {"docker": {"Host": "unix:///far.sock"}}}"#);
    let found = machine.find().unwrap();
    assert_eq!(found.address.to_string(), "unix:///far.sock");
    assert!(found.reason.contains("current context, far"), "{}", found.reason);
    machine.variables.insert("DOCKER_CONTEXT", "default".into());
    assert_eq!(machine.find().unwrap().address, Address::Socket(machine.path("root/var/run/docker.sock")));
    machine.variables.insert("DOCKER_CONTEXT", "absent".into());
    assert!(matches!(machine.find(), Err(DockerError::NoContext { name }) if name == "absent"));
    machine.variables.insert("DOCKER_HOST", "tcp://127.0.0.1:2375".into());
    let found = machine.find().unwrap();
    assert_eq!(
        (found.address, found.reason.as_str()),
        (Address::Tcp("127.0.0.1:2375".into()), "DOCKER_HOST names it")
    );
}

#[test]
fn of_the_usual_places_the_first_is_taken_where_somebody_listens() {
    let mut machine = Machine::new();
    machine.variables.insert("XDG_RUNTIME_DIR", machine.path("run").display().to_string());
    assert!(matches!(machine.find(), Err(DockerError::NoEngine { looked_at }) if looked_at.len() == 7));
    let _colima = machine.listen("home/.colima/default/docker.sock");
    assert!(machine.find().unwrap().reason.contains("Colima"));
    let _podman = machine.listen("run/podman/podman.sock");
    assert!(machine.find().unwrap().reason.contains("Podman without root"));
    let rootless = machine.listen("run/docker.sock");
    assert!(machine.find().unwrap().reason.contains("Docker without root"));
    // What an engine that ended has left stands for nothing.
    drop(rootless);
    assert!(machine.find().unwrap().reason.contains("Podman without root"));
    let _docker = machine.listen("root/var/run/docker.sock");
    assert_eq!(machine.find().unwrap().reason, "it listens where Docker does");
}

#[test]
fn an_address_that_cannot_be_used_is_named() {
    for host in ["ssh://me@there", "tcp://there:2376", "fd://", "/var/run/docker.sock", "unix://"] {
        let mut machine = Machine::new();
        machine.variables.insert("DOCKER_HOST", host.into());
        let sentence = machine.find().unwrap_err().to_string();
        assert!(sentence.contains(host) && sentence.contains("DOCKER_HOST"), "{sentence}");
    }
}

#[test]
fn a_configuration_that_is_no_json_says_nothing() {
    let machine = Machine::new();
    machine.write("home/.docker/config.json", "{");
    let _docker = machine.listen("root/var/run/docker.sock");
    assert!(machine.find().is_ok());
}
