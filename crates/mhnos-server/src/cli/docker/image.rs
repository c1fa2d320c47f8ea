//! `docker build`: the image made from this very program, or fetched, with a bar for people.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::path::Path;

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mhnos_docker::image::{Build, Progress};
use mhnos_docker::{DockerError, Engine, Owner, Variant};

use super::arguments::BuildArguments;
use super::up;
use crate::cli::failure::{Failure, SUCCESS};
use crate::cli::format::{bytes, plain};
use crate::cli::output;

/// The program that runs, even when its file was replaced meanwhile.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Lines of what failed that are worth showing.
const LINES_SHOWN: usize = 20;

pub(super) async fn run(engine: &Engine, arguments: &BuildArguments, as_json: bool) -> Result<i32, Failure> {
    let variant = arguments.which.variant();
    if arguments.fetch {
        show(engine.fetch(variant), as_json).await?;
    } else {
        make(engine, variant, up::person(), as_json).await?;
    }
    let image = engine.image(variant).await?;
    let image = image.ok_or_else(|| DockerError::NoImage { image: variant.image().into() })?;
    match as_json {
        true => {
            output::json_line(&serde_json::json!({
                "event": "done", "image": variant.image(), "id": image.id, "size": image.size,
            }))?;
        }
        false => output::text(&format!(
            "{} is ready ({}): `mhnos-runtime docker up` runs it\n",
            variant.image(),
            bytes(image.size)
        ))?,
    }
    Ok(SUCCESS)
}

/// Makes the image from the program that runs.
pub(super) async fn make(
    engine: &Engine,
    variant: Variant,
    owner: Owner,
    as_json: bool,
) -> Result<(), Failure> {
    let program = std::fs::read(Path::new(OWN_PROGRAM))
        .map_err(|error| Failure::system("read this program, to put it into the image", &error))?;
    let events = engine.build(&Build { variant, program: &program, owner })?;
    show(events, as_json).await
}

/// Shows what happens until it has happened: a bar in a terminal, a line for each step in a log, a document a line for a program.
async fn show(
    mut events: impl futures_util::Stream<Item = Result<Progress, DockerError>> + Unpin,
    as_json: bool,
) -> Result<(), Failure> {
    let mut bar = Bar::new(as_json);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) if as_json => output::json_line(&document(&event))?,
            Ok(event) => bar.show(event),
            Err(error) => {
                bar.fail();
                return Err(error.into());
            }
        }
    }
    bar.bar.finish_and_clear();
    Ok(())
}

fn document(event: &Progress) -> serde_json::Value {
    match event {
        Progress::Step { number, of, what } => {
            serde_json::json!({ "event": "step", "number": number, "of": of, "what": what })
        }
        Progress::Line(line) => serde_json::json!({ "event": "line", "line": line }),
        Progress::Transfer { part, doing, bytes } => {
            let (so_far, all) = bytes.unzip();
            serde_json::json!({ "event": "transfer", "part": part, "doing": doing, "bytes": so_far, "of": all })
        }
    }
}

struct Bar {
    bar: ProgressBar,
    in_lines: bool,
    /// What was printed last, for when the step fails.
    last: VecDeque<String>,
}

impl Bar {
    fn new(as_json: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = match is_terminal && !as_json {
            true => ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr()),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar, in_lines: !is_terminal && !as_json, last: VecDeque::new() }
    }

    fn show(&mut self, event: Progress) {
        match event {
            Progress::Step { number, of, what } => {
                self.bar.set_length(of.into());
                self.bar.set_position(number.saturating_sub(1).into());
                let what = plain(&what);
                if self.in_lines {
                    // Nobody may be reading any more; the image is made all the same.
                    let _ = writeln!(std::io::stderr(), "step {number} of {of}: {what}");
                }
                self.bar.set_message(what);
            }
            Progress::Line(line) => {
                let line = plain(&line);
                self.bar.set_message(line.clone());
                if self.last.len() == LINES_SHOWN {
                    self.last.pop_front();
                }
                self.last.push_back(line);
            }
            Progress::Transfer { part, doing, bytes } => {
                if let Some((so_far, all)) = bytes {
                    self.bar.set_length(all);
                    self.bar.set_position(so_far);
                }
                self.bar.set_message(plain(&format!("{doing} {part}")));
            }
        }
    }

    fn fail(&self) {
        self.bar.finish_and_clear();
        for line in &self.last {
            let _ = writeln!(std::io::stderr(), "  {line}");
        }
    }
}
