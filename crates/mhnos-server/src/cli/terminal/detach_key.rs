//! The key that leaves a program running and gives the terminal back, and finding it in what is typed.
//!
//! A terminal sends Ctrl and a letter as one control byte, except when the program inside has asked it to report keys
//! in the longer forms (kitty's protocol, xterm's modifyOtherKeys); the key must work then too.

use std::fmt;
use std::str::FromStr;

/// Ctrl and one of the characters from `@` to `_`, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DetachKey(Option<u8>);

impl Default for DetachKey {
    fn default() -> Self {
        Self(Some(b']'))
    }
}

impl fmt::Display for DetachKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(character) => write!(formatter, "ctrl-{}", char::from(character.to_ascii_lowercase())),
            None => formatter.write_str("none"),
        }
    }
}

impl FromStr for DetachKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        if lower == "none" {
            return Ok(Self(None));
        }
        let key = lower.strip_prefix("ctrl-").or_else(|| lower.strip_prefix('^'));
        match key.map(str::as_bytes) {
            Some([character @ (b'@' | b'a'..=b'z' | b'[' | b'\\' | b']' | b'^' | b'_')]) => {
                Ok(Self(Some(character.to_ascii_uppercase())))
            }
            _ => Err("write ctrl- and a letter or one of @[\\]^_, such as ctrl-], or none"),
        }
    }
}

impl DetachKey {
    /// Where the key begins in what was typed.
    pub(crate) fn find(self, typed: &[u8]) -> Option<usize> {
        let character = self.0?;
        let code = character.to_ascii_lowercase();
        let long_forms =
            [format!("\x1b[{code};5u"), format!("\x1b[{code};5:1u"), format!("\x1b[27;5;{code}~")];
        let short = typed.iter().position(|byte| *byte == character & 0x1f);
        let long = long_forms.iter().filter_map(|form| find(typed, form.as_bytes()));
        long.chain(short).min()
    }
}

/// Where `wanted` begins in `bytes`.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written_the_same() {
        for text in ["ctrl-]", "ctrl-a", "ctrl-\\", "ctrl-@", "none"] {
            assert_eq!(text.parse::<DetachKey>().unwrap().to_string(), text);
        }
        assert_eq!("^]".parse(), Ok(DetachKey::default()));
        assert_eq!("Ctrl-P".parse::<DetachKey>().unwrap().to_string(), "ctrl-p");
        for wrong in ["", "q", "ctrl-", "ctrl-1", "ctrl-ab", "alt-q"] {
            assert!(wrong.parse::<DetachKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_key_is_found_in_every_form() {
        let key = DetachKey::default();
        assert_eq!(key.find(b"exit\n\x1dmore"), Some(5));
        assert_eq!(key.find(b"ab\x1b[93;5u"), Some(2));
        assert_eq!(key.find(b"ab\x1b[27;5;93~"), Some(2));
        assert_eq!(key.find(b"nothing ] here\x1b[93u"), None);
        assert_eq!("none".parse::<DetachKey>().unwrap().find(b"\x1d"), None);
        assert_eq!("ctrl-p".parse::<DetachKey>().unwrap().find(b"\x10"), Some(0));
    }
}
