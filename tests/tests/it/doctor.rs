//! What `doctor` finds, and `docs/troubleshooting.md`, where a person looks it up: each check has its entry, and each entry its check.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use mhnos_tests::command::Said;
use mhnos_tests::{Runtime, runtime_program};
use serde_json::Value;
use tempfile::TempDir;

const DOCUMENT: &str = include_str!("../../../docs/troubleshooting.md");

/// The entries of the document, by their names.
fn entries() -> Vec<(&'static str, &'static str)> {
    let part = DOCUMENT.split("\n## ").find(|part| part.starts_with("What `doctor` finds")).unwrap();
    part.split("\n### ").skip(1).map(|entry| entry.split_once('\n').unwrap()).collect()
}

/// What `doctor` finds on a state folder where no program is installed, with these words.
fn doctor(state: &Path, words: &[&str]) -> Vec<Value> {
    let mut command = Command::new(runtime_program());
    let home = state.parent().unwrap();
    command.env_clear().env("PATH", home.join("nothing")).env("HOME", home).env("SHELL", "/bin/false");
    command.arg("--state-dir").arg(state).args(["--json", "doctor"]).args(words).stdin(Stdio::null());
    let said = Said::from(command.output().unwrap());
    let mut report: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    let checks: Vec<Value> = serde_json::from_value(report["checks"].take()).unwrap();
    let failed = checks.iter().any(|check| check["status"] == "fail");
    assert_eq!(
        (said.code, report["healthy"].as_bool()),
        (Some(i32::from(failed)), Some(!failed)),
        "{checks:?}"
    );
    checks
}

fn folder() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    (folder, state)
}

#[test]
fn every_check_has_its_entry_in_the_document_and_every_finding_is_named_there() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut found = Vec::new();

    let (home, state) = folder();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    found.extend(doctor(&state, &["--port", &port, "--workspace", file.to_str().unwrap()]));
    found.extend(doctor(&state, &["--workspace", "/proc/here", "--sandbox", "none"]));
    // The state folder in the workspace: what is to be kept from programs lies where they write.
    found.extend(doctor(&state, &["--workspace", home.path().to_str().unwrap()]));
    std::fs::write(state.join("token"), "0".repeat(64)).unwrap();
    std::fs::set_permissions(state.join("token"), std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(state.join("settings.json"), "{ not JSON").unwrap();
    found.extend(doctor(&state, &[]));

    let entries = entries();
    let mut checked = BTreeSet::new();
    for check in &found {
        let (name, sentence) = (check["name"].as_str().unwrap(), check["found"].as_str().unwrap());
        let entry = entries.iter().find(|(entry, _)| *entry == name);
        let (_, text) = entry.unwrap_or_else(|| panic!("docs/troubleshooting.md has no entry {name}"));
        checked.insert(name);
        if check["status"] != "ok" {
            // What stands in quotes is what `doctor` says, up to where it is left open.
            let quotes = text.split('"').skip(1).step_by(2).map(|quote| quote.trim_end_matches("...").trim());
            let is_named = quotes.filter(|quote| !quote.is_empty()).any(|quote| sentence.contains(quote));
            assert!(is_named, "the entry {name} of docs/troubleshooting.md does not name: {sentence}");
        }
    }
    let named: BTreeSet<&str> = entries.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, checked, "entries and checks");
    let is_not_ok = |name: &str| found.iter().any(|check| check["name"] == name && check["status"] != "ok");
    let always_ok: Vec<_> = named.iter().filter(|name| !is_not_ok(name)).collect();
    assert!(always_ok.is_empty(), "nothing was found wrong with {always_ok:?}: the test has gone blind");
}

#[tokio::test]
async fn a_port_at_which_another_runtime_answers_is_no_fault() {
    let other = Runtime::start();
    let (_home, state) = folder();
    let checks = doctor(&state, &["--port", &other.port().to_string()]);
    let port = checks.iter().find(|check| check["name"] == "port").unwrap();
    assert_eq!(port["status"], "warn", "{port}");
    assert!(port["found"].as_str().unwrap().ends_with("where a runtime answers"), "{port}");
    assert!(port["advice"].as_str().unwrap().contains("mhnos-runtime docker status"), "{port}");
}
