//! `docs/security.md` names the test that proves each claim: every one it names is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Folders of Rust tests; a module is a file of its own somewhere in them.
const TESTS: [&str; 5] = [
    "tests/tests/it",
    "tests/tests/containers",
    "crates/mhnos-server/src",
    "crates/mhnos-process/src",
    "crates/mhnos-docker/src",
];

/// All Rust files below a folder, with their text.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&entry).unwrap();
            found.push((entry, text));
        }
    }
}

/// What stands between single backquotes outside of code blocks.
fn names(document: &str) -> BTreeSet<&str> {
    document.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[test]
fn every_test_that_the_document_names_exists() {
    let document = std::fs::read_to_string(format!("{ROOT}/docs/security.md")).unwrap();
    let mut files = Vec::new();
    for folder in TESTS {
        sources(&Path::new(ROOT).join(folder), &mut files);
    }
    let is_module = |name: &str| {
        files.iter().any(|(path, _)| {
            path.components().any(|part| part.as_os_str() == name)
                || path.file_stem().is_some_and(|stem| stem == name)
        })
    };
    let (mut tests, mut missing) = (0, Vec::new());
    for name in names(&document) {
        if let Some(file) = name.strip_suffix(".test.mjs") {
            tests += 1;
            if !Path::new(ROOT).join(format!("tests/e2e/{file}.test.mjs")).exists() {
                missing.push(name);
            }
            continue;
        }
        let (modules, test) = match name.rsplit_once("::") {
            // An address, not a path.
            Some(_) if name.starts_with('[') => continue,
            Some((modules, test)) => (modules, test),
            // A sentence in snake case is a test of the sandbox, whose table leaves the module out.
            None if name.matches('_').count() >= 4 => ("sandbox", name),
            None => continue,
        };
        tests += 1;
        let is_there = modules.split("::").all(|module| is_module(module) || module == "tests")
            && match test.strip_suffix('…') {
                // Several tests, or the beginning of a name.
                Some(start) => files.iter().any(|(_, text)| text.contains(&format!("fn {start}"))),
                None => {
                    is_identifier(test)
                        && files.iter().any(|(path, text)| {
                            let last =
                                modules.rsplit("::").find(|module| *module != "tests").unwrap_or(modules);
                            path.to_string_lossy().contains(last) && text.contains(&format!("fn {test}("))
                        })
                }
            };
        if !is_there {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "docs/security.md names tests that do not exist: {missing:#?}");
    assert!(tests > 30, "only {tests} tests were recognised in docs/security.md: this test has gone blind");
}

#[test]
fn every_fuzz_target_that_the_document_names_exists() {
    let document = std::fs::read_to_string(format!("{ROOT}/docs/security.md")).unwrap();
    let lines: Vec<&str> = document.lines().filter(|line| line.contains("fuzz target")).collect();
    let mut named = 0;
    for line in &lines {
        let from_there = &line[line.find("fuzz target").unwrap()..];
        for name in names(from_there).into_iter().filter(|name| is_identifier(name)) {
            named += 1;
            let path = format!("{ROOT}/fuzz/fuzz_targets/{name}.rs");
            assert!(
                Path::new(&path).exists(),
                "docs/security.md names the fuzz target {name}, which is not there"
            );
        }
    }
    assert!(named >= 6, "only {named} fuzz targets were recognised in docs/security.md");
}
