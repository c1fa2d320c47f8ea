//! Keeps a terminal's answers to old questions away from the program.
//!
//! Programs ask the terminal things through their output (where is the cursor? which colours?), and it answers as if it
//! were typed. When held output is shown again, the terminal answers again, into a program that no longer waits for it.
//! So nothing typed is passed on while held output is shown. Terminals answer late but in order: if the held output asked
//! anything, one more question ([`QUESTION`]) is put behind it, and once that is answered no old answer is left.

use std::time::Duration;

use super::sequences::{Scanner, Sequence};

/// "Are you well?"
pub(crate) const QUESTION: &[u8] = b"\x1b[5n";

/// "I am well."
const ANSWER: &[u8] = b"\x1b[0n";

/// How long to wait for the answer. A terminal that gives none has not answered the others either.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Answers {
    scanner: Scanner,
    questions: usize,
    /// Of these, the ones whose answer looks like that to the last question.
    alike: usize,
    answered: usize,
    /// How much of an answer the end of the last input was.
    matched: usize,
}

impl Answers {
    /// Looks for questions in held output.
    pub(crate) fn shown(&mut self, output: &[u8]) {
        let (questions, alike) = (&mut self.questions, &mut self.alike);
        self.scanner.scan(output, |sequence| {
            if is_question(&sequence) {
                *questions += 1;
                *alike += usize::from(sequence == Sequence::Control { body: b"5", end: b'n' });
            }
        });
    }

    /// Whether there is anything to wait for once all is shown.
    pub(crate) fn any_question(&self) -> bool {
        self.questions > 0
    }

    /// Looks for answers in what was typed. Some: the last question was answered, and what follows is the person's.
    pub(crate) fn typed<'input>(&mut self, input: &'input [u8]) -> Option<&'input [u8]> {
        for (index, byte) in input.iter().enumerate() {
            if *byte == ANSWER[self.matched] {
                self.matched += 1;
            } else {
                self.matched = usize::from(*byte == ANSWER[0]);
            }
            if self.matched == ANSWER.len() {
                self.matched = 0;
                self.answered += 1;
                if self.answered > self.alike {
                    return Some(&input[index + 1..]);
                }
            }
        }
        None
    }
}

fn is_question(sequence: &Sequence<'_>) -> bool {
    match *sequence {
        // Attributes, status, mode, version, keyboard, size and place of the window, parameters.
        Sequence::Control { end: b'c' | b'n' | b'x', .. } => true,
        Sequence::Control { body, end: b'p' } => body.ends_with(b"$"),
        Sequence::Control { body, end: b'q' } => body.starts_with(b">"),
        Sequence::Control { body, end: b'u' } => body.starts_with(b"?"),
        Sequence::Control { body, end: b't' } => {
            matches!(body, b"11" | b"13" | b"14" | b"15" | b"16" | b"18" | b"19" | b"20" | b"21")
                || body.starts_with(b"13;")
                || body.starts_with(b"14;")
        }
        // Colours and the clipboard are asked for with a question mark; settings and graphics in many ways.
        Sequence::Text { kind: b']', body } => body.contains(&b'?'),
        Sequence::Text { kind, .. } => matches!(kind, b'P' | b'_'),
        Sequence::Escape { body, end } => body.is_empty() && end == b'Z',
        Sequence::Character(character) => character == 0x05,
        Sequence::Control { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_output_asks_nothing() {
        let mut answers = Answers::default();
        answers
            .shown(b"\x1b[?2004h$ ls\r\n\x1b[1;34mfolder\x1b[0m\x1b]0;title\x07\x1b[22;0;0t\x1b[2 q\x1b[>1u");
        assert!(!answers.any_question());
    }

    #[test]
    fn questions_are_known() {
        for question in [
            &b"\x1b[c"[..],
            b"\x1b[>c",
            b"\x1b[6n",
            b"\x1b[?6n",
            b"\x1b[?2026$p",
            b"\x1b[>q",
            b"\x1b[?u",
            b"\x1b[14t",
            b"\x1b]11;?\x1b\\",
            b"\x1bP+q544e\x1b\\",
            b"\x1bZ",
            b"\x05",
        ] {
            let mut answers = Answers::default();
            answers.shown(question);
            assert!(answers.any_question(), "{question:?}");
        }
    }

    #[test]
    fn the_person_is_heard_behind_the_last_answer() {
        let mut answers = Answers::default();
        answers.shown(b"\x1b[6n\x1b[5n\x1b[c");
        assert_eq!(answers.typed(b"\x1b[1;1R\x1b[0n\x1b[?1;2c\x1b["), None);
        assert_eq!(answers.typed(b"0nls\r"), Some(&b"ls\r"[..]));
    }
}
