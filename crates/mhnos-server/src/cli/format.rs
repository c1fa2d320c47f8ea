//! Numbers and tables for people.

use std::fmt::Write;
use std::time::Duration;

/// `812 B`, `3.4 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 is shown as 1.0 of the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `0.3s`, `42s`, `5m 3s`, `2h 10m`, `3d 4h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let pair = |large: u64, large_unit, small: u64, small_unit| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit} {small}{small_unit}"),
    };
    match seconds {
        0..10 => format!("{:.1}s", (time.as_millis() / 100) as f64 / 10.0),
        10..60 => format!("{seconds}s"),
        60..3600 => pair(seconds / 60, 'm', seconds % 60, 's'),
        3600..86_400 => pair(seconds / 3600, 'h', seconds % 3600 / 60, 'm'),
        _ => pair(seconds / 86_400, 'd', seconds % 86_400 / 3600, 'h'),
    }
}

/// A moment, given in milliseconds since 1970, in this machine's time zone: `2026-11-24 13:05:09`.
pub(crate) fn moment(milliseconds: u64) -> String {
    i64::try_from(milliseconds)
        .ok()
        .and_then(|milliseconds| jiff::Timestamp::from_millisecond(milliseconds).ok())
        .map(|time| time.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%F %T").to_string())
        .unwrap_or_else(|| "at an impossible time".into())
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Text that others chose, without the power to move the cursor or to hide something.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if is_harmless(character) {
            plain.push(character);
        } else {
            plain.extend(character.escape_default());
        }
    }
    plain
}

/// Neither a control character nor one that turns the direction of writing.
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) align: Align,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
    /// Left, and cut when the table would be wider than the terminal.
    Cut,
}

/// Lines of aligned columns, cut to `width` characters if there is a column for that.
pub(crate) fn table(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    const BETWEEN: usize = 2;
    const NARROWEST: usize = 12;
    let length = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| length(cell));
            cells.max().unwrap_or(0).max(length(column.title))
        })
        .collect();
    let whole: usize = widths.iter().sum::<usize>() + BETWEEN * columns.len().saturating_sub(1);
    let too_wide = width.map_or(0, |width| whole.saturating_sub(width));
    for (column, width) in columns.iter().zip(&mut widths) {
        if column.align == Align::Cut {
            *width = width.saturating_sub(too_wide).max(NARROWEST.min(*width));
        }
    }
    let mut text = String::new();
    let titles: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for ((column, width), cell) in columns.iter().zip(&widths).zip(row) {
            let cell = cut(cell, *width);
            let padding = width - length(&cell);
            let (before, after) = if column.align == Align::Right { (padding, 0) } else { (0, padding) };
            let _ = write!(line, "{:before$}{cell}{:after$}{:BETWEEN$}", "", "", "");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(duration(Duration::from_millis(349)), "0.3s");
        assert_eq!(duration(Duration::from_millis(9999)), "9.9s");
        assert_eq!(duration(Duration::from_secs(59)), "59s");
        assert_eq!(duration(Duration::from_secs(303)), "5m 3s");
        assert_eq!(duration(Duration::from_secs(7200)), "2h");
        assert_eq!(duration(Duration::from_secs(3 * 86_400 + 4 * 3600)), "3d 4h");
    }

    #[test]
    fn what_others_chose_cannot_write_on_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\nc é"), "a\\u{1b}[2Jb\\nc é");
        assert_eq!(plain("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn tables_are_aligned_and_cut() {
        let columns = [
            Column { title: "PID", align: Align::Right },
            Column { title: "COMMAND", align: Align::Cut },
            Column { title: "UP", align: Align::Left },
        ];
        let rows = [
            vec!["1000".into(), "node server.js --port 3000".into(), "3s".into()],
            vec!["7".into(), "sh".into(), "1m".into()],
        ];
        assert_eq!(
            table(&columns, &rows, None),
            " PID  COMMAND                     UP\n\
             1000  node server.js --port 3000  3s\n\
             \x20  7  sh                          1m\n"
        );
        assert_eq!(
            table(&columns, &rows, Some(24)),
            " PID  COMMAND         UP\n1000  node server.j…  3s\n\x20  7  sh              1m\n"
        );
    }
}
