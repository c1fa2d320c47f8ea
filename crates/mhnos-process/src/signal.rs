//! Names and numbers of signals.

use nix::sys::signal::Signal;

/// The number of a signal named as `SIGTERM`, `TERM` or `15`; `None` where there is no such signal.
pub fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    full.parse::<Signal>().ok().map(|signal| signal as i32)
}

/// The name of a signal.
pub fn name(number: i32) -> &'static str {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str(),
        Err(_) => "SIGRT",
    }
}

/// Whether a signal is meant to end a program, so that what does not end by it is forced after the grace. Others
/// (stop, continue, user-defined) are delivered and no more.
pub fn is_meant_to_end(number: i32) -> bool {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGABRT, Signal::SIGKILL]
        .into_iter()
        .any(|signal| signal as i32 == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        assert_eq!(number("SIGTERM"), Some(15));
        assert_eq!(number("kill"), Some(9));
        assert_eq!(number("2"), Some(2));
        assert_eq!(number("SIGNONSENSE"), None);
        assert_eq!(number("0"), None);
        assert_eq!(name(15), "SIGTERM");
        assert!(is_meant_to_end(9) && !is_meant_to_end(10));
    }
}
