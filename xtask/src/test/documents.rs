//! The step that runs what the documents tell people to run, as it is written there.
//!
//! Every `sh` block of every Markdown file is run ([`blocks`] reads them). A comment right before a block says where, if not in the checkout:
//!
//! | comment | |
//! |---|---|
//! | `<!-- run: in the background -->` | in a second terminal, as it were; the next block waits until the runtime answers |
//! | `<!-- run: on a clean Debian -->` | by a person with `sudo`, in the folder the packages were downloaded into |
//! | `<!-- run: on a clean Debian, in the archive -->` | the same in the unpacked archive, on a machine of its own |
//! | `<!-- not run: why -->` | nowhere, and why |
//!
//! The blocks of one document follow each other in one throw-away home, in a network of their own, so that the usual port is free. Unless a document
//! begins with a block in the background, a runtime runs already. The first command that fails ends the document, and is named.

mod blocks;

use super::attempts;
use super::installation::machine::{Machine, Supply};
use super::report::Report;
use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::package::{self, Kind, Programs};
use crate::setup::{self, Tools};
use crate::{client, program, ui};
use blocks::{Block, Place};
use std::env;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const NAME: &str = "documents";

/// Seconds for all blocks of one document.
const PATIENCE: &str = "600";

/// How much of what a failed block printed stands in the last lines of all.
const LAST_LINES: usize = 5;

/// A network and a set of processes of their own: whatever a block leaves running ends with it.
const APART: [&str; 6] = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

pub(super) fn step(report: &mut Report, checkout: &Checkout, tools: Option<&Tools>) {
    let apart = ["--map-root-user"].iter().chain(&APART);
    match tools {
        None => report.skip(NAME, "setup failed"),
        Some(_) if !program::succeeds(Command::new("unshare").args(apart).arg("true")) => {
            report.skip(NAME, "this machine gives no network of their own to programs (unshare --net)");
        }
        Some(tools) => drop(report.step(NAME, || run(checkout, tools))),
    }
}

fn run(checkout: &Checkout, tools: &Tools) -> Result<()> {
    client::build(checkout)?;
    ui::build(checkout)?;
    let runtime = checkout.build_runtime()?;
    let list = program::output(Command::new("git").args(["ls-files", "*.md"]).current_dir(checkout.root()))?;
    let mut failed = Vec::new();
    for name in list.lines() {
        let path = checkout.root().join(name);
        let text = fs::read_to_string(&path).map_err(Failure::file("read", &path))?;
        let blocks = blocks::read(&text).map_err(|fault| Failure::Explained(format!("{name}: {fault}")))?;
        for Block { line, place, .. } in &blocks {
            if let Place::Nowhere(reason) = place {
                println!("{name}:{line}: not run: {reason}");
            }
        }
        let here: Vec<&Block> = blocks.iter().filter(|block| block.place.is_here()).collect();
        if !here.is_empty() {
            let result = attempts::perform(name, || in_checkout(checkout, tools, &runtime, name, &here));
            failed.extend(result.err().map(|failure| failure.to_string()));
        }
        for place in [Place::Clean, Place::CleanArchive] {
            let there: Vec<&Block> = blocks.iter().filter(|block| block.place == place).collect();
            if !there.is_empty() {
                let result = on_clean_system(checkout, tools, name, &place, &there);
                failed.extend(result.err().map(|failure| format!("{name}: {failure}")));
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Explained(format!("what a document says does not work as written: {}", failed.join("; "))))
}

fn in_checkout(
    checkout: &Checkout,
    tools: &Tools,
    runtime: &Path,
    name: &str,
    blocks: &[&Block],
) -> Result<()> {
    let scratch = env::temp_dir().join(format!("mhnos-documents-{}", std::process::id()));
    let home = scratch.join("home");
    fs::create_dir_all(&home).map_err(Failure::file("create", &home))?;
    let mut script = String::from(
        "ip link set lo up\n\
         ready() { for _ in $(seq 600); do mhnos-runtime health >/dev/null 2>&1 && return; sleep 0.2; done; said; false; }\n\
         said() { mhnos-runtime health || true; echo 'the runtime said:'; tail -n 3 ~/said; }\n",
    );
    if blocks.first().is_none_or(|block| block.place != Place::Background) {
        script.push_str("mhnos-runtime serve >~/said 2>&1 &\nready\n");
    }
    script.push_str(&program_of(name, blocks));
    let file = scratch.join("blocks");
    fs::write(&file, script).map_err(Failure::file("write", &file))?;
    let folder = |variable: &str, below: &str| {
        let usual = || Some(PathBuf::from(env::var_os("HOME")?).join(below));
        env::var_os(variable).map(PathBuf::from).or_else(usual).unwrap_or_default()
    };
    let mut search = vec![runtime.parent().unwrap_or(Path::new("/")).to_owned(), tools.programs()];
    search.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let search = env::join_paths(search)
        .map_err(|error| Failure::Explained(format!("a folder cannot stand in PATH: {error}")))?;
    let mut command = Command::new("timeout");
    command.args([PATIENCE, "unshare", "--map-root-user"]).args(APART).args(["bash", "-eu"]).arg(&file);
    command
        .current_dir(checkout.root())
        .env("PATH", search)
        .env("HOME", &home)
        // Tools are installed already, and are not the person's own.
        .env("CARGO_HOME", folder("CARGO_HOME", ".cargo"))
        .env("RUSTUP_HOME", folder("RUSTUP_HOME", ".rustup"))
        .env("XDG_CACHE_HOME", folder("XDG_CACHE_HOME", ".cache"))
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("XDG_STATE_HOME");
    // Kept, so that the failure can say where, and with which words.
    let output = scratch.join("output");
    let printed = File::create(&output).map_err(Failure::file("create", &output))?;
    let errors = printed.try_clone().map_err(Failure::file("write", &output))?;
    let result = program::run(command.stdout(printed).stderr(errors));
    let printed = fs::read(&output).map_err(Failure::file("read", &output))?;
    let printed = String::from_utf8_lossy(&printed);
    print!("{printed}");
    fs::remove_dir_all(&scratch).map_err(Failure::file("remove", &scratch))?;
    result.map_err(|failure| Failure::Explained(format!("{} ({failure})", last_words(&printed))))
}

fn on_clean_system(
    checkout: &Checkout,
    tools: &Tools,
    name: &str,
    place: &Place,
    blocks: &[&Block],
) -> Result<()> {
    setup::for_packaging()?;
    setup::for_installation()?;
    let programs = Programs::build(checkout, &[Kind::Deb])?;
    let machine = Machine::with_scripts(checkout, tools, Supply::Nothing)?;
    machine.make_folder("opt/downloads")?;
    if *place == Place::CleanArchive {
        machine.put(&package::unpacked_archive(checkout, programs.system()?)?, "opt/downloads/archive")?;
    } else {
        for package in package::pack(checkout, &[Kind::Deb], &programs)? {
            machine.put(&package, "opt/downloads")?;
        }
    }
    machine.write("opt/downloads/blocks", &program_of(name, blocks))?;
    machine.run("/opt/tests/person.sh", &["/opt/downloads/blocks"])
}

/// The block that a document's program came to, and the last lines it printed there.
fn last_words(printed: &str) -> String {
    let (_, block) = printed.rsplit_once("--- ").unwrap_or(("", printed));
    let mut lines = block.lines();
    let place = lines.next().unwrap_or_default();
    let lines: Vec<_> = lines.collect();
    format!("{place}: {}", lines[lines.len().saturating_sub(LAST_LINES)..].join(" / "))
}

/// The blocks as one program, which says where it is.
fn program_of(name: &str, blocks: &[&Block]) -> String {
    let mut script = String::new();
    for Block { line, text, place } in blocks {
        let _ = writeln!(script, "echo '--- {name}:{line}'");
        if *place == Place::Background {
            let _ = writeln!(script, "(\n{text}) &\nready");
        } else {
            // Each in a shell of its own, as a person may have opened another terminal.
            let _ = writeln!(script, "(\n{text})");
        }
    }
    script
}
