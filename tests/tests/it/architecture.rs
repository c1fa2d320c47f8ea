//! The dependency arrows, as `ARCHITECTURE.md` draws them.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

const PROTOCOL: &str = "mhnos-protocol";
const SERVER: &str = "mhnos-server";
const ENGINES: [&str; 3] = ["mhnos-process", "mhnos-sync", "mhnos-docker"];

/// The workspace's packages: folder, and the packages each depends on for its own sake (not for its tests).
fn packages() -> BTreeMap<String, (String, Vec<String>)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .expect("cargo can be executed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let packages = metadata["packages"].as_array().expect("packages").iter().map(|package| {
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        // A dependency of the tests alone has the kind `dev`; one of the code itself has none.
        let dependencies = dependencies.filter(|dependency| dependency["kind"] != "dev");
        let names = dependencies.map(|dependency| text(&dependency["name"])).collect();
        let folder = text(&package["manifest_path"]).trim_end_matches("/Cargo.toml").to_owned();
        (text(&package["name"]), (folder, names))
    });
    packages.collect()
}

/// What of our own a package may depend on.
fn allowed(name: &str, folder: &str) -> Option<Vec<&'static str>> {
    if folder.ends_with("/src-tauri") {
        return Some(vec![SERVER, PROTOCOL]);
    }
    match name {
        PROTOCOL => Some(vec![]),
        SERVER => Some([&ENGINES[..], &[PROTOCOL]].concat()),
        engine if ENGINES.contains(&engine) => Some(vec![]),
        // Not part of what is delivered: they look at the others from outside.
        "mhnos-tests" | "xtask" => Some([&ENGINES[..], &[PROTOCOL, SERVER]].concat()),
        _ => None,
    }
}

#[test]
fn dependencies_point_one_way_from_shell_to_server_to_engines() {
    let packages = packages();
    for name in [PROTOCOL, SERVER, "mhnos-process"] {
        assert!(packages.contains_key(name), "{name} is gone: correct this test and ARCHITECTURE.md");
    }
    for (name, (folder, dependencies)) in &packages {
        let Some(allowed) = allowed(name, folder) else {
            panic!("{name} is new: say here and in ARCHITECTURE.md what it may depend on");
        };
        for ours in dependencies.iter().filter(|dependency| packages.contains_key(*dependency)) {
            assert!(allowed.contains(&ours.as_str()), "{name} must not depend on {ours}");
        }
    }
}

#[test]
fn engines_know_nothing_of_the_wire_the_web_server_or_the_desktop() {
    const FOREIGN: [&str; 9] = [
        PROTOCOL,
        "axum",
        "hyper",
        "serde",
        "serde_json",
        "tauri",
        "tungstenite",
        "tokio-tungstenite",
        "ts-rs",
    ];
    for (name, (_, dependencies)) in packages() {
        for dependency in dependencies.iter().filter(|_| ENGINES.contains(&name.as_str())) {
            assert!(
                !FOREIGN.contains(&dependency.as_str()),
                "the engine {name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn the_protocol_knows_no_socket_and_no_process() {
    const FOREIGN: [&str; 8] =
        ["axum", "hyper", "nix", "tauri", "tokio", "tungstenite", "tokio-tungstenite", "portable-pty"];
    let packages = packages();
    for dependency in &packages[PROTOCOL].1 {
        assert!(!FOREIGN.contains(&dependency.as_str()), "{PROTOCOL} must not depend on {dependency}");
    }
}

#[test]
fn only_the_desktop_knows_tauri() {
    for (name, (folder, dependencies)) in packages() {
        let knows_tauri = dependencies.iter().any(|dependency| dependency.starts_with("tauri"));
        assert!(!knows_tauri || folder.ends_with("/src-tauri"), "{name} must not depend on Tauri");
    }
}
