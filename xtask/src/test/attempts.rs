//! A second try, for what a busy machine can make fail. Only CI's machines are shared, so only there is one given; it is said by name, as it is of the
//! Rust tests.

use crate::failure::Result;

/// Carries it out, in CI once more when it fails.
pub(super) fn perform(what: &str, attempt: impl Fn() -> Result<()>) -> Result<()> {
    let Err(failure) = attempt() else { return Ok(()) };
    println!("{failure}");
    if !super::in_ci() {
        return Err(failure);
    }
    attempt()?;
    println!("FLAKY {what}: it passed only the second time; the first: {failure}");
    Ok(())
}
