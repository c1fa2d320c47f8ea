//! `cargo xtask fuzz`: libFuzzer on the stable toolchain.
//!
//! libFuzzer steers its input by counters that the compiler puts on every edge of the program. The flags below ask
//! LLVM for them directly, which stable Rust can do; only the address sanitizer would need a nightly toolchain, and
//! there is no unsafe code in what is fuzzed. `--target` keeps build scripts and macros free of the counters.
//!
//! The targets are the binaries of the `fuzz` crate. What is committed in `fuzz/seeds/<target>` is where a run starts;
//! what it learns is kept in `fuzz/corpus/<target>`, and an input that fails in `fuzz/artifacts/<target>`, both ignored
//! by git.

use crate::checkout::{self, Checkout};
use crate::failure::{Failure, Result};
use crate::{program, setup};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

const INSTRUMENTATION: &str = "--cfg fuzzing \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1";

/// A parser that needs more for one input than this has a fault worth knowing.
const MEMORY_LIMIT_MEBIBYTES: u32 = 1024;
const SECONDS_PER_INPUT: u32 = 10;

/// Targets that run side by side. Each is one thread, and the machines of CI have two cores.
const AT_A_TIME: usize = 2;

/// Sets up, then runs every target, or the one that is named, for that long each.
pub(crate) fn run(checkout: &Checkout, seconds: u64, only: Option<&str>) -> Result<()> {
    setup::for_fuzzing()?;
    run_targets(checkout, seconds, only)
}

/// Runs every target even when one fails, so that one run finds all there is to find.
pub(crate) fn run_targets(checkout: &Checkout, seconds: u64, only: Option<&str>) -> Result<()> {
    let crate_folder = checkout.root().join("fuzz");
    let mut targets = target_names(&crate_folder)?;
    if let Some(name) = only {
        if !targets.iter().any(|target| target == name) {
            return Err(Failure::Explained(format!(
                "there is no fuzz target {name}; there are {}",
                targets.join(", ")
            )));
        }
        targets = vec![name.to_owned()];
    }
    let programs = build(checkout, &crate_folder)?;
    let mut runs = Vec::new();
    for target in &targets {
        let Some((_, file)) = programs.iter().find(|(name, _)| name == target) else {
            return Err(Failure::Explained(format!("cargo built no program for the fuzz target {target}")));
        };
        runs.push((target.as_str(), file));
    }
    let began = Instant::now();
    let mut failed = Vec::new();
    for together in runs.chunks(AT_A_TIME) {
        thread::scope(|scope| {
            let running = together.iter().map(|&(target, file)| {
                println!("fuzzing {target} for {seconds} s");
                let crate_folder = &crate_folder;
                (target, scope.spawn(move || run_target(file, target, crate_folder, seconds)))
            });
            // All are started before the first is waited for.
            for (target, run) in running.collect::<Vec<_>>() {
                let outcome = run.join().unwrap_or_else(|_| {
                    Err(Failure::Explained(format!("the run of the fuzz target {target} broke off")))
                });
                if let Err(failure) = outcome {
                    println!("{failure}");
                    failed.push(target);
                }
            }
        });
    }
    println!("fuzzed {} targets for {seconds} s each in {} s", runs.len(), began.elapsed().as_secs());
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Explained(format!(
        "an input that fails was found for {}; it is the file named above, and giving that file to the program named \
         above runs it again",
        failed.join(", ")
    )))
}

fn target_names(crate_folder: &Path) -> Result<Vec<String>> {
    let metadata = checkout::metadata(&crate_folder.join("Cargo.toml"))?;
    let targets = metadata["packages"][0]["targets"].as_array().into_iter().flatten();
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    Ok(programs.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect())
}

/// Builds all targets and returns each with its program.
fn build(checkout: &Checkout, crate_folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut cargo = program::cargo();
    cargo
        .args(["build", "--release", "--bins", "--target", "host-tuple"])
        .args(["--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(checkout.target().join("fuzz"))
        .current_dir(crate_folder)
        // The encoded form would win over the plain one.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", INSTRUMENTATION);
    println!("$ {}", program::command_line(&cargo));
    let messages = program::output(&mut cargo)?;
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(artifacts
        .filter_map(|artifact| {
            let name = artifact["target"]["name"].as_str()?.to_owned();
            Some((name, artifact["executable"].as_str()?.into()))
        })
        .collect())
}

fn run_target(file: &Path, target: &str, crate_folder: &Path, seconds: u64) -> Result<()> {
    // libFuzzer writes what it learns into the first folder, and only reads the others.
    let folders = ["corpus", "artifacts", "seeds"].map(|kind| crate_folder.join(kind).join(target));
    let [corpus, artifacts, seeds] = &folders;
    for folder in [corpus, artifacts] {
        fs::create_dir_all(folder).map_err(Failure::file("create", folder))?;
    }
    let mut fuzzer = Command::new(file);
    fuzzer
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY_LIMIT_MEBIBYTES}"))
        .arg(format!("-timeout={SECONDS_PER_INPUT}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        // Without this there is a line for every new edge; what is found is printed all the same.
        .args(["-verbosity=0", "-print_final_stats=1"])
        .arg(corpus);
    if seeds.is_dir() {
        fuzzer.arg(seeds);
    }
    run_without_dictionary(&mut fuzzer, target)
}

/// Passes on what libFuzzer says, all but the long dictionary it recommends at the end for later runs: the corpus has
/// learnt the same. Each line carries the target's name, because several run at once.
fn run_without_dictionary(fuzzer: &mut Command, target: &str) -> Result<()> {
    println!("$ {}", program::command_line(fuzzer));
    fuzzer.stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = fuzzer.spawn().map_err(|source| program::not_started(fuzzer, source))?;
    let mut in_dictionary = false;
    for line in child.stderr.take().into_iter().flat_map(|output| BufReader::new(output).split(b'\n')) {
        // What cannot be read any more has no effect on how the program ends.
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line);
        in_dictionary |= line.starts_with("###### Recommended dictionary");
        if !in_dictionary {
            eprintln!("{target}: {line}");
        }
        in_dictionary &= !line.starts_with("###### End of recommended dictionary");
    }
    let status = child.wait().map_err(|source| program::not_started(fuzzer, source))?;
    program::must_succeed(fuzzer, status)
}
