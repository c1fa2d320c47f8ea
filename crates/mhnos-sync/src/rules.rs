//! What is not synced: never sent, never deleted, never looked into.
//!
//! Three sources, the later one wins: names that are made by programs and made again by them, editors' temporaries, and the file
//! [`FILE`] in the root, which has the syntax of `.gitignore` (so `!dist` there has `dist` synced after all). Above all of
//! them: the engine's own folder in the root is never synced.

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::model::RelativePath;
use crate::tree::Ignores;

/// The file in the root that says what is ignored.
pub const FILE: &str = ".mhnosignore";

/// The engine's own folder, in the root of every side.
pub const OWN_FOLDER: &str = ".mhnos-sync";

/// Folders and files that programs make and make again.
pub const NAMES: [&str; 4] = ["node_modules", ".git", "dist", ".cache"];

/// What editors and downloads leave for a moment. In order: Emacs and others, vim, Emacs, vim's probe, many, GTK, IntelliJ, LibreOffice, Kate, browsers.
const TEMPORARIES: [&str; 13] = [
    "*~",
    ".*.sw[a-p]",
    ".#*",
    "\\#*#",
    "4913",
    "*.tmp",
    ".goutputstream-*",
    "*___jb_tmp___",
    "*___jb_old___",
    ".~lock.*#",
    ".*.kate-swp",
    "*.crdownload",
    "*.part",
];

/// See the [module's description](self). Two are equal if they come from the same text.
#[derive(Clone, Debug)]
pub struct Rules {
    matcher: Gitignore,
    text: String,
    problems: Vec<String>,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Rules {}

impl Default for Rules {
    fn default() -> Self {
        Self::new("")
    }
}

impl Rules {
    /// Of the text of [`FILE`]; nothing if there is none. A line that is no pattern is left out, and told in [`Self::problems`].
    pub fn new(text: &str) -> Self {
        let mut builder = GitignoreBuilder::new("");
        let mut problems = Vec::new();
        for pattern in NAMES.iter().chain(&TEMPORARIES).copied().chain(text.lines()) {
            if let Err(error) = builder.add_line(None, pattern) {
                problems.push(format!("has a line that is no pattern ({pattern}): {error}"));
            }
        }
        let matcher = builder.build().unwrap_or_else(|error| {
            problems.push(format!("cannot be used: {error}"));
            Gitignore::empty()
        });
        Self { matcher, text: text.to_owned(), problems }
    }

    /// What is wrong with the text: ends of sentences that begin with the file's name.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Whether a path is not synced, because of its own name or of that of a folder it is in.
    pub fn ignores(&self, path: &RelativePath, is_folder: bool) -> bool {
        let text = path.as_str();
        text.match_indices('/').any(|(end, _)| self.ignores_text(&text[..end], true))
            || self.ignores_text(text, is_folder)
    }

    /// The same of a path of which it is known that no folder above it is ignored.
    pub fn ignores_in_its_folder(&self, path: &RelativePath, is_folder: bool) -> bool {
        self.ignores_text(path.as_str(), is_folder)
    }

    /// Names that are ignored wherever they are, so that a side need not look at them at all.
    pub fn names(&self) -> Vec<&'static str> {
        // With a single exception in the text, a name may be wanted somewhere.
        let names = if self.matcher.num_whitelists() == 0 { &NAMES[..] } else { &[] };
        names.iter().copied().chain([OWN_FOLDER]).collect()
    }

    fn ignores_text(&self, path: &str, is_folder: bool) -> bool {
        path == OWN_FOLDER || self.matcher.matched(path, is_folder).is_ignore()
    }
}

impl Ignores for Rules {
    fn ignores(&self, path: &RelativePath, directory: bool) -> bool {
        Self::ignores(self, path, directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &Rules, path: &str, is_folder: bool) -> bool {
        rules.ignores(&RelativePath::new(path).unwrap(), is_folder)
    }

    #[test]
    fn what_programs_make_again_and_editors_leave_is_ignored_anywhere() {
        let rules = Rules::default();
        assert!(rules.problems().is_empty());
        for path in [
            "node_modules",
            "a/node_modules/b/c.js",
            "a/.git/HEAD",
            "dist",
            "x/.cache",
            ".mhnos-sync",
            ".mhnos-sync/stage/x",
            "a.txt~",
            "a/.b.txt.swp",
            "a/.#b",
            "#b#",
            "a/4913",
            "b.tmp",
            ".goutputstream-ABC",
            "b.js___jb_tmp___",
            "f.part",
            ".~lock.report.odt#",
        ] {
            assert!(ignored(&rules, path, false), "{path}");
        }
        for path in
            ["a", "distance", "a/git", "a.swp", "49131", "tmp", "a/.mhnos-sync", ".mhnosignore", ".env", "b#"]
        {
            assert!(!ignored(&rules, path, false), "{path}");
        }
        assert_eq!(rules.names(), ["node_modules", ".git", "dist", ".cache", ".mhnos-sync"]);
    }

    #[test]
    fn the_persons_own_rules_add_and_take_back() {
        let rules = Rules::new("# comment\n/secret\nlogs/\n*.bin\n!keep.bin\n!dist\n!.mhnos-sync\n");
        assert!(ignored(&rules, "secret", false) && ignored(&rules, "secret/a", false));
        assert!(!ignored(&rules, "a/secret", false), "anchored to the root");
        assert!(ignored(&rules, "a/logs", true) && !ignored(&rules, "a/logs", false), "folders only");
        assert!(ignored(&rules, "x.bin", false) && !ignored(&rules, "keep.bin", false));
        assert!(!ignored(&rules, "dist/a.js", false), "taken back");
        assert!(ignored(&rules, ".mhnos-sync", true), "cannot be taken back");
        assert_eq!(rules.names(), [OWN_FOLDER], "an exception may want any of the names somewhere");
        assert_eq!(Rules::new("a"), Rules::new("a"));
        assert_ne!(Rules::new("a"), Rules::new("b"));
    }

    #[test]
    fn a_line_that_is_no_pattern_is_told_and_the_others_hold() {
        let rules = Rules::new("[z-a]\n*.bin");
        assert_eq!(rules.problems().len(), 1, "{:?}", rules.problems());
        assert!(ignored(&rules, "x.bin", false));
    }
}
