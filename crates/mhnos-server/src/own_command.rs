//! How a person calls this program's command line, for the sentences that tell them to.
//!
//! In a container that is a command of the engine outside, which only whoever started the container knows: it says so in
//! `MHNOS_CALLED_AS`.

use std::sync::LazyLock;

const VARIABLE: &str = "MHNOS_CALLED_AS";
const USUAL: &str = "mhnos-runtime";

static NAME: LazyLock<String> =
    LazyLock::new(|| std::env::var(VARIABLE).ok().filter(|name| is_line(name)).unwrap_or(USUAL.into()));

/// What a person types in place of `mhnos-runtime`.
pub fn name() -> &'static str {
    &NAME
}

/// Whether people have to call it otherwise than by its name.
pub fn is_unusual() -> bool {
    name() != USUAL
}

/// It is put into sentences that are shown in terminals.
fn is_line(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| !character.is_control())
}

#[cfg(test)]
mod tests {
    use super::is_line;

    #[test]
    fn only_a_plain_line_is_shown() {
        assert!(is_line("docker exec mhnos-runtime mhnos-runtime"));
        assert!(!is_line("") && !is_line("a\nb") && !is_line("\u{1b}[31m"));
    }
}
