//! What can be said to the app when it is started. `--help` and the manual page are both made from this.

use std::io;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

/// Tray and window of MHNOS Runtime
///
/// Keeps MHNOS Runtime going, which runs real programs for the operating system in a browser tab, and shows what it does: in the tray, and in
/// a window that asks before a page may do anything. When it runs already, its window is raised. To serve without a
/// display, run `mhnos-runtime serve`.
#[derive(Parser)]
#[command(name = "mhnos-desktop", version)]
pub(crate) struct Arguments {
    /// What a page opened, as `mhnos://connect?url=...`: the page is to be connected
    #[arg(value_parser = link)]
    pub(crate) link: Option<String>,

    /// Write the manual page into this folder, and end
    #[arg(long, value_name = "FOLDER", hide = true)]
    pub(crate) manual: Option<PathBuf>,
}

/// Writes the manual page.
pub(crate) fn write_manual(folder: &Path) -> io::Result<()> {
    clap_mangen::generate_to(Arguments::command(), folder)
}

fn link(word: &str) -> Result<String, String> {
    if word.starts_with("mhnos:") {
        Ok(word.to_owned())
    } else {
        Err("use no argument, or a link mhnos://connect?url=...".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_taken_and_nothing_else() {
        let read = |words: &[&str]| Arguments::try_parse_from([&["mhnos-desktop"], words].concat());
        assert_eq!(read(&["mhnos://connect?url=x"]).unwrap().link.as_deref(), Some("mhnos://connect?url=x"));
        assert_eq!(read(&[]).unwrap().link, None);
        let refused = read(&["--hidden"]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("--hidden"), "{refused}");
        let refused = read(&["connect"]).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("use no argument, or a link"), "{refused}");
    }

    #[test]
    fn the_manual_page_says_what_help_says() {
        let folder = tempfile::tempdir().unwrap();
        write_manual(folder.path()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("mhnos-desktop.1")).unwrap();
        assert!(page.contains("mhnos://connect?url=..."), "{page}");
        assert!(!page.contains("manual"), "{page}");
    }
}
