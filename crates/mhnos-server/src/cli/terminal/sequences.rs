//! Finds control sequences in a terminal's output, also where they are split between pieces.
//!
//! Only what this crate needs to understand is kept of a sequence: enough to say which modes a program switched on and
//! whether it asked the terminal something. Text between sequences is passed over.

/// Longest sequence that is remembered; of longer ones only the beginning.
const KEPT_BYTES: usize = 64;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sequence<'bytes> {
    /// `ESC [`, what stands between, and the final byte.
    Control { body: &'bytes [u8], end: u8 },
    /// `ESC ]`, `ESC P` and their like: strings for the terminal. `kind` is the byte behind `ESC`.
    Text { kind: u8, body: &'bytes [u8] },
    /// `ESC`, bytes such as `(`, and the final byte.
    Escape { body: &'bytes [u8], end: u8 },
    /// A single control character that matters: ENQ, SO.
    Character(u8),
}

#[derive(Default)]
pub(super) struct Scanner {
    state: State,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Control,
    Text(u8),
    /// In a string, behind an `ESC` that may be the first byte of its end.
    TextEscape(u8),
}

impl Scanner {
    pub(super) fn scan(&mut self, mut output: &[u8], mut found: impl FnMut(Sequence<'_>)) {
        while let Some((&byte, rest)) = output.split_first() {
            if self.state == State::Ground {
                // Nearly all output is text: look for the next byte that matters in one go.
                let Some(next) = output.iter().position(|byte| matches!(byte, 0x05 | 0x0e | 0x1b)) else {
                    return;
                };
                match output[next] {
                    0x1b => self.begin(State::Escape),
                    character => found(Sequence::Character(character)),
                }
                output = &output[next + 1..];
                continue;
            }
            self.step(byte, &mut found);
            output = rest;
        }
    }

    fn step(&mut self, byte: u8, found: &mut impl FnMut(Sequence<'_>)) {
        match (self.state, byte) {
            // CAN and SUB give a sequence up.
            (_, 0x18 | 0x1a) => self.state = State::Ground,
            (State::Text(kind), 0x1b) => self.state = State::TextEscape(kind),
            (State::TextEscape(kind), b'\\') | (State::Text(kind), 0x07) => {
                found(Sequence::Text { kind, body: &self.body });
                self.state = State::Ground;
            }
            (State::Text(_), _) => self.keep(byte),
            (_, 0x1b) => self.begin(State::Escape),
            (State::TextEscape(_), _) => {
                self.begin(State::Escape);
                self.step(byte, found);
            }
            (State::Escape, b'[') if self.body.is_empty() => self.begin(State::Control),
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') if self.body.is_empty() => {
                self.begin(State::Text(byte))
            }
            (State::Escape, 0x30..=0x7e) => {
                found(Sequence::Escape { body: &self.body, end: byte });
                self.state = State::Ground;
            }
            (State::Control, 0x40..=0x7e) => {
                found(Sequence::Control { body: &self.body, end: byte });
                self.state = State::Ground;
            }
            (State::Escape | State::Control, 0x20..=0x3f) => self.keep(byte),
            (State::Escape | State::Control, 0x80..) => self.state = State::Ground,
            // Other control characters take effect in the middle of a sequence and do not end it.
            _ => {}
        }
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.body.clear();
    }

    fn keep(&mut self, byte: u8) {
        if self.body.len() < KEPT_BYTES {
            self.body.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(pieces: &[&[u8]]) -> Vec<String> {
        let (mut scanner, mut found) = (Scanner::default(), Vec::new());
        for piece in pieces {
            scanner.scan(piece, |sequence| {
                let text = String::from_utf8_lossy;
                found.push(match sequence {
                    Sequence::Control { body, end } => format!("[{}{}", text(body), char::from(end)),
                    Sequence::Text { kind, body } => format!("{}{}", char::from(kind), text(body)),
                    Sequence::Escape { body, end } => format!("ESC {}{}", text(body), char::from(end)),
                    Sequence::Character(character) => format!("{character}"),
                });
            });
        }
        found
    }

    #[test]
    fn sequences_are_found_among_text() {
        let output = b"abc\x1b[?1049h\xc3\xa9\x1b]11;?\x07x\x1bP$qm\x1b\\\x1b(0\x1b7\x05\x1b[0;1m";
        assert_eq!(scan(&[output]), ["[?1049h", "]11;?", "P$qm", "ESC (0", "ESC 7", "5", "[0;1m"]);
    }

    #[test]
    fn what_is_given_up_is_not_reported() {
        assert_eq!(scan(&[b"\x1b[12\x18c\x1b[3\x1b[6n\x1b]0;title\x1b[c"]), ["[6n", "[c"]);
    }

    proptest! {
        #[test]
        fn where_it_is_split_makes_no_difference(
            output in proptest::collection::vec(
                prop_oneof![Just(0x1b_u8), Just(b'['), Just(b']'), Just(b'?'), Just(b'\\'), any::<u8>()], 0..80),
            at in 0..80_usize,
        ) {
            let (first, second) = output.split_at(at.min(output.len()));
            prop_assert_eq!(scan(&[first, second]), scan(&[&output]));
        }
    }
}
