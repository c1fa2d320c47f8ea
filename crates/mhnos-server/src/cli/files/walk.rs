//! What there is to push in a folder of this machine.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::WalkBuilder;

use super::Remark;
use super::rules::{RULES_BYTES, RULES_FILE, Rules};

#[derive(Default)]
pub(super) struct Found {
    /// Paths below the folder, with `/` between names, and the bytes they have now.
    pub(super) files: Vec<(String, u64)>,
    /// Folders with no folder in them: making these makes all.
    pub(super) innermost: Vec<String>,
    /// All folders.
    pub(super) directories: usize,
    pub(super) skipped: Vec<Remark>,
    pub(super) failed: Vec<Remark>,
}

/// Looks through a folder. Blocks.
pub(super) fn walk(folder: &Path, all: bool) -> Found {
    let mut found = Found::default();
    let mut directories = Vec::new();
    for entry in walker(folder, all).build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                found.failed.push(Remark::new(folder.to_string_lossy(), error));
                continue;
            }
        };
        let path = inner(entry.path(), folder);
        let Some(text) = path.to_str().map(str::to_owned) else {
            found.skipped.push(Remark::new(path.to_string_lossy(), "its name is not Unicode"));
            continue;
        };
        let Some(kind) = entry.file_type().filter(|_| !text.is_empty()) else { continue };
        if kind.is_dir() {
            directories.push(text);
        } else if kind.is_symlink() {
            found.skipped.push(Remark::new(text, "a link: links are not followed"));
        } else if !kind.is_file() {
            found.skipped.push(Remark::new(text, "neither a file nor a folder"));
        } else {
            match entry.metadata() {
                Ok(metadata) => found.files.push((text, metadata.len())),
                Err(error) => found.failed.push(Remark::new(text, error)),
            }
        }
    }
    found.directories = directories.len();
    found.innermost = innermost(directories);
    found
}

fn walker(folder: &Path, all: bool) -> WalkBuilder {
    let mut walker = WalkBuilder::new(folder);
    walker.standard_filters(false).follow_links(false).sort_by_file_name(Ord::cmp);
    if !all {
        let mut rules = Rules::new();
        add_rules(&mut rules, folder, Path::new(""));
        let (rules, folder) = (Arc::new(Mutex::new(rules)), folder.to_owned());
        walker.filter_entry(move |entry| {
            // Called for a folder before what is in it.
            let path = inner(entry.path(), &folder);
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            let mut rules = rules.lock().unwrap_or_else(PoisonError::into_inner);
            if path.as_os_str().is_empty() {
                return true;
            }
            if rules.names(&path, is_folder) {
                return false;
            }
            if is_folder {
                add_rules(&mut rules, &folder, &path);
            }
            true
        });
    }
    walker
}

fn add_rules(rules: &mut Rules, folder: &Path, below: &Path) {
    let path = folder.join(below).join(RULES_FILE);
    // A link or a pipe of that name holds no rules; it is reported when the walk comes to it.
    if !path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return;
    }
    let mut text = Vec::new();
    if std::fs::File::open(path).and_then(|file| file.take(RULES_BYTES).read_to_end(&mut text)).is_ok() {
        rules.add(below, &String::from_utf8_lossy(&text));
    }
}

fn inner(path: &Path, folder: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
}

/// Of folders listed before what is in them, those that have no other in them.
fn innermost(directories: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for directory in directories {
        let parent = directory.rsplit_once('/').map(|(parent, _)| parent);
        if kept.last().map(String::as_str) == parent {
            kept.pop();
        }
        kept.push(directory);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_walked_by_the_rules() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (path, text) in [
            ("a.js", "1"),
            ("src/b.js", "22"),
            ("src/deep/c.log", ""),
            ("src/keep/d.log", ""),
            ("dist/x", ""),
            ("node_modules/p/index.js", ""),
            (".mhnosignore", "*.log\n"),
            ("src/keep/.mhnosignore", "!d.log\n"),
            (".hidden", ""),
        ] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", root.join("src/link")).unwrap();
        let found = walk(root, false);
        let mut files: Vec<_> = found.files.iter().map(|(path, _)| path.as_str()).collect();
        files.sort_unstable();
        assert_eq!(
            files,
            [".hidden", ".mhnosignore", "a.js", "src/b.js", "src/keep/.mhnosignore", "src/keep/d.log"]
        );
        assert_eq!(found.innermost, ["src/deep", "src/keep"]);
        assert_eq!(found.skipped.iter().map(|remark| remark.path.as_str()).collect::<Vec<_>>(), ["src/link"]);
        assert_eq!(walk(root, true).files.len(), 9);
    }
}
