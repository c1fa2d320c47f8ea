//! Leaves the person's terminal as it was found, whatever the program inside did to it.
//!
//! A full-screen program switches to the other screen, hides the cursor, asks for the mouse. When one detaches from it,
//! or it is killed, it does not undo that. So its output is watched for the switches that outlast it, and what is still
//! on at the end is switched off: nothing more, because some resets move the cursor.

use std::collections::BTreeSet;

use super::sequences::{Scanner, Sequence};

/// Private modes that are off in a terminal at rest: cursor keys, reverse video, origin, keypad, mouse and focus reports,
/// pasted text in brackets, held-back drawing, colour reports.
const NORMALLY_OFF: [u16; 18] =
    [1, 5, 6, 9, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004, 2026, 2031, 2048];

/// Private modes that are on in a terminal at rest: wrapping, visible cursor.
const NORMALLY_ON: [u16; 2] = [7, 25];

/// The other screen, in its historical forms.
const OTHER_SCREEN: [u16; 3] = [47, 1047, 1049];

#[derive(Default)]
pub(crate) struct Modes {
    scanner: Scanner,
    changed: Changed,
}

#[derive(Default)]
struct Changed {
    private: BTreeSet<u16>,
    style: bool,
    scroll_region: bool,
    cursor_shape: bool,
    character_set: bool,
    keypad: bool,
    modified_keys: bool,
    /// Entries on the stack of kitty's keyboard protocol.
    keyboard_stack: u32,
}

impl Modes {
    pub(crate) fn watch(&mut self, output: &[u8]) {
        let changed = &mut self.changed;
        self.scanner.scan(output, |sequence| changed.apply(&sequence));
    }

    /// What to write so that the terminal is at rest again.
    pub(crate) fn reset(&self) -> String {
        let changed = &self.changed;
        let mut text = String::new();
        if changed.keyboard_stack > 0 {
            text += &format!("\x1b[<{}u", changed.keyboard_stack);
        }
        for (is_changed, reset) in [
            (changed.modified_keys, "\x1b[>4;0m"),
            (changed.keypad, "\x1b>"),
            (changed.character_set, "\x1b(B\x0f"),
            // Setting the region moves the cursor.
            (changed.scroll_region, "\x1b7\x1b[r\x1b8"),
            (changed.cursor_shape, "\x1b[0 q"),
        ] {
            if is_changed {
                text += reset;
            }
        }
        let (screens, others): (Vec<u16>, Vec<u16>) =
            changed.private.iter().partition(|mode| OTHER_SCREEN.contains(mode));
        for mode in others.into_iter().chain(screens) {
            let switch = if NORMALLY_ON.contains(&mode) { 'h' } else { 'l' };
            text += &format!("\x1b[?{mode}{switch}");
        }
        if changed.style {
            text += "\x1b[m";
        }
        text
    }
}

impl Changed {
    fn apply(&mut self, sequence: &Sequence<'_>) {
        match *sequence {
            Sequence::Control { body, end } => self.control(body, end),
            Sequence::Escape { body: b"", end: b'c' } => *self = Self::default(),
            Sequence::Escape { body: b"", end: end @ (b'=' | b'>') } => self.keypad = end == b'=',
            Sequence::Escape { body: b"(", end } => self.character_set = end != b'B',
            Sequence::Character(0x0e) => self.character_set = true,
            _ => {}
        }
    }

    fn control(&mut self, body: &[u8], end: u8) {
        match (body, end) {
            ([b'?', modes @ ..], b'h' | b'l') => {
                numbers(modes).for_each(|mode| self.switch(mode, end == b'h'))
            }
            ([b'>', b'4', ..], b'm') => self.modified_keys = !matches!(body, b">4" | b">4;0"),
            ([b'>', ..], b'u') => self.keyboard_stack = self.keyboard_stack.saturating_add(1),
            ([b'<', count @ ..], b'u') => {
                let count = numbers(count).next().unwrap_or(1);
                self.keyboard_stack = self.keyboard_stack.saturating_sub(count.into());
            }
            ([.., b' '], b'q') => self.cursor_shape = !matches!(body, b" " | b"0 "),
            ([] | [b'0'..=b'9' | b';', ..], b'r') => self.scroll_region = !body.is_empty(),
            ([] | [b'0'..=b'9' | b';', ..], b'm') => self.style = !matches!(body, b"" | b"0"),
            _ => {}
        }
    }

    fn switch(&mut self, mode: u16, on: bool) {
        let changed = match mode {
            _ if NORMALLY_OFF.contains(&mode) || OTHER_SCREEN.contains(&mode) => on,
            _ if NORMALLY_ON.contains(&mode) => !on,
            _ => return,
        };
        if changed {
            self.private.insert(mode);
        } else {
            self.private.remove(&mode);
        }
    }
}

fn numbers(text: &[u8]) -> impl Iterator<Item = u16> {
    text.split(|byte| *byte == b';').filter_map(|number| std::str::from_utf8(number).ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reset_after(output: &[u8]) -> String {
        let mut modes = Modes::default();
        modes.watch(output);
        modes.reset()
    }

    #[test]
    fn plain_output_needs_nothing() {
        assert_eq!(reset_after(b"hello\r\n\x1b[1;31mred\x1b[0m \x1b[2J\x1b[H\x1b[6n"), "");
    }

    #[test]
    fn an_editor_left_in_the_middle_is_cleaned_up() {
        let editor = b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?25l\x1b[?1002;1006h\x1b[>1u\x1b[2 q\x1b[1;20r\x1b[1m";
        assert_eq!(
            reset_after(editor),
            "\x1b[<1u\x1b>\x1b7\x1b[r\x1b8\x1b[0 q\x1b[?1l\x1b[?25h\x1b[?1002l\x1b[?1006l\x1b[?1049l\x1b[m"
        );
    }

    #[test]
    fn an_editor_that_left_properly_needs_nothing() {
        let editor =
            b"\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[>1u text \x1b[<u\x1b[?2004l\x1b[?25h\x1b[?1049l\x1b[m";
        assert_eq!(reset_after(editor), "");
        assert_eq!(reset_after(b"\x1b[?1049h\x1b[?25l\x1bc"), "");
    }
}
