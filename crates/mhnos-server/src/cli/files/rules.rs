//! Which files are not copied: what is made anew from other files, and what `.mhnosignore` names.
//!
//! `.mhnosignore` has the syntax of `.gitignore` and counts for its folder and those below; a deeper one wins over a
//! higher one, and any of them over the defaults (`!dist` brings `dist` back). What is in a folder that is left out is
//! left out too. The rules are those of the side that is copied from.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Name of the file with rules.
pub(super) const RULES_FILE: &str = ".mhnosignore";

/// Larger ones are not read.
pub(super) const RULES_BYTES: u64 = 1 << 20;

const DEFAULTS: &str = "node_modules\n.git\ndist\n.cache\n";

pub(super) struct Rules {
    by_folder: HashMap<PathBuf, Gitignore>,
    defaults: Gitignore,
}

impl Rules {
    pub(super) fn new() -> Self {
        Self { by_folder: HashMap::new(), defaults: parse(DEFAULTS) }
    }

    /// Rules that leave nothing out.
    pub(super) fn none() -> Self {
        Self { by_folder: HashMap::new(), defaults: Gitignore::empty() }
    }

    /// Adds what stands in the rules file of a folder.
    pub(super) fn add(&mut self, folder: &Path, text: &str) {
        self.by_folder.insert(folder.to_owned(), parse(text));
    }

    /// Whether a path is left out, itself or with one of the folders it is in.
    pub(super) fn leave_out(&self, path: &Path, is_folder: bool) -> bool {
        let above = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        above.fold(self.names(path, is_folder), |named, folder| named || self.names(folder, true))
    }

    /// Whether a path is named itself.
    pub(super) fn names(&self, path: &Path, is_folder: bool) -> bool {
        for folder in path.ancestors().skip(1) {
            let (Some(rules), Ok(inner)) = (self.by_folder.get(folder), path.strip_prefix(folder)) else {
                continue;
            };
            match rules.matched(inner, is_folder) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        self.defaults.matched(path, is_folder).is_ignore()
    }
}

/// Lines that make no sense are passed over, as git does.
fn parse(text: &str) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in text.lines() {
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_leave_out_what_is_made_anew() {
        let rules = Rules::new();
        for path in ["node_modules", "node_modules/a/b.js", "a/dist/x", ".git/HEAD", "a/.cache"] {
            assert!(rules.leave_out(Path::new(path), false), "{path}");
            assert!(!Rules::none().leave_out(Path::new(path), false), "{path}");
        }
        for path in ["src/distance.js", "gitignore", ".gitignore", "a.git"] {
            assert!(!rules.leave_out(Path::new(path), false), "{path}");
        }
    }

    #[test]
    fn a_deeper_rule_wins() {
        let mut rules = Rules::new();
        rules.add(Path::new(""), "*.log\n/build/\n!dist\n# a remark\n");
        rules.add(Path::new("a"), "!keep.log\ndist\n");
        for (path, is_folder, out) in [
            ("x.log", false, true),
            ("b/keep.log", false, true),
            ("a/keep.log", false, false),
            ("build", true, true),
            ("build/x", false, true),
            ("build", false, false),
            ("c/build/x", false, false),
            ("dist/x", false, false),
            ("a/dist/x", false, true),
            ("node_modules/x", false, true),
        ] {
            assert_eq!(rules.leave_out(Path::new(path), is_folder), out, "{path}");
        }
    }
}
