//! A display without a screen.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Dots of it, across and down, of 24 bits of colour each.
pub const SIZE: [usize; 2] = [1280, 900];

/// An X server of its own, ended when this is dropped.
pub struct Display {
    name: String,
    server: Child,
}

impl Display {
    /// Starts one, with these further arguments.
    ///
    /// # Panics
    /// When there is no Xvfb.
    pub fn start<A: AsRef<OsStr>>(further: impl IntoIterator<Item = A>) -> Self {
        let [width, height] = SIZE;
        let mut server = Command::new("Xvfb")
            // Without the last it starts anew whenever its last client goes, and refuses who comes in that moment.
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .args(further)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is an Xvfb");
        Self { name: format!(":{}", first_line(&mut server)), server }
    }

    /// What `DISPLAY` is to say.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The first line that a program prints into its pipe.
///
/// # Panics
/// When it has none.
pub fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}
