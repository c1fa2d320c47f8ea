//! `audit`: what the runtime has written down about who was let in and what was started, and whether it is still as it was written.
//!
//! Reads the files of the state folder; no runtime needs to run.

use mhnos_server::state::StateDirectory;
use mhnos_server::trust::audit::{self, Entry};

use super::arguments::AuditArguments;
use super::failure::{FAILURE, Failure, SUCCESS};
use super::format::{moment, plain};
use super::output;

pub(crate) fn run(state: &StateDirectory, arguments: &AuditArguments, as_json: bool) -> Result<i32, Failure> {
    let failed = |error| Failure::system("read the audit log", &error);
    if arguments.verify {
        let found = audit::verify(state.path()).map_err(failed)?;
        let is_whole = found.faults.is_empty();
        if as_json {
            output::json(&found)?;
        } else if is_whole {
            let older = match found.first {
                0 | 1 => String::new(),
                first => format!(" (from number {first}; older ones were rotated away)"),
            };
            output::text(&format!("{} entries, all as they were written{older}\n", found.entries))?;
        } else {
            for fault in &found.faults {
                output::text(&format!("{fault}\n"))?;
            }
        }
        return Ok(if is_whole { SUCCESS } else { FAILURE });
    }
    let entries = audit::entries(state.path()).map_err(failed)?;
    let wanted = arguments.tail.map_or(0, |lines| entries.len().saturating_sub(lines));
    if as_json {
        output::json(&&entries[wanted..])?;
    } else {
        for entry in &entries[wanted..] {
            output::text(&line(entry))?;
        }
    }
    Ok(SUCCESS)
}

fn line(entry: &Entry) -> String {
    format!("{}  {}\n", moment(entry.time), plain(&entry.fact.to_string()))
}
