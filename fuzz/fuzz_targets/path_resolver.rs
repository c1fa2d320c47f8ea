//! Whatever a page calls a file, it is a path beneath the workspace's root, or a sentence.
#![no_main]

use std::path::{Component, Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use mhnos_fuzz::paths;

fuzz_target!(|input: (&str, &str)| {
    let (named, directory) = input;
    let roots = [PathBuf::from("/home/me/mhnos-workspace"), PathBuf::from("/data/ws")];
    let Ok(directory) = paths::relative(directory, Path::new(""), &roots) else { return };
    if let Ok(path) = paths::relative(named, &directory, &roots) {
        assert!(path.components().all(|component| matches!(component, Component::Normal(_))), "{path:?}");
    }
    let argument = paths::argument(named.to_owned(), &roots[1], &roots);
    assert!(argument == named || Path::new(&argument).starts_with("/data/ws"), "{argument}");
});
