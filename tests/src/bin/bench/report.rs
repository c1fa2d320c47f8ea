//! The table that is printed, and the machine it was measured on.

use std::fs;
use std::process::Command;

use crate::runtime;

/// One line of the table.
pub(crate) struct Line {
    /// What was measured.
    pub(crate) what: String,
    /// The machine without the runtime.
    pub(crate) bare: String,
    /// The same through the runtime.
    pub(crate) ours: String,
    /// Ours in terms of the bare limit, where that means something.
    pub(crate) ratio: Option<f64>,
    /// What is aimed at.
    pub(crate) target: &'static str,
    /// Whether it is reached.
    pub(crate) met: bool,
}

/// All lines so far.
#[derive(Default)]
pub(crate) struct Report(Vec<Line>);

impl Report {
    /// Adds a line, and shows that there is progress.
    pub(crate) fn add(&mut self, line: Line) {
        eprintln!("  {}: bare {}, ours {}", line.what, line.bare, line.ours);
        self.0.push(line);
    }

    /// Prints the table in Markdown.
    pub(crate) fn print(&self) {
        println!("{}\n", machine());
        println!("| what | bare limit | ours | ratio | target | met |");
        println!("|---|---|---|---|---|---|");
        for line in &self.0 {
            let ratio = line.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
            let met = if line.met { "yes" } else { "**no**" };
            let Line { what, bare, ours, target, .. } = line;
            println!("| {what} | {bare} | {ours} | {ratio} | {target} | {met} |");
        }
    }
}

fn machine() -> String {
    let first_line = |path: &str, field: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default().to_owned();
        line.rsplit(": ").next().unwrap_or_default().trim().to_owned()
    };
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let runtime = runtime::program().map(|program| output(&program.to_string_lossy(), &["--version"]));
    format!(
        "{}: {cores} cores of {}, Linux {}, {}, {}",
        output("date", &["+%Y-%m-%d"]),
        first_line("/proc/cpuinfo", "model name"),
        first_line("/proc/sys/kernel/osrelease", ""),
        runtime.unwrap_or_default(),
        output("rustc", &["--version"]),
    )
}
