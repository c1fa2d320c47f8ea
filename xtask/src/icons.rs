//! `cargo xtask icons`: every image of the app, from the one drawing `icons/source.svg`.
//!
//! The drawing holds a group for the app and one for each state of the tray; a style sheet shows one of them in one shade. The images are
//! committed, so that only who changes the drawing needs a renderer (`rsvg-convert`).

use crate::checkout::Checkout;
use crate::failure::{Failure, Result};
use crate::{program, setup};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A state of the tray, and its shade on a light and on a dark panel.
const STATES: [(&str, &str, &str); 5] = [
    ("stopped", "#1f2328", "#f5f6f8"),
    ("starting", "#1f2328", "#f5f6f8"),
    ("running", "#1f2328", "#f5f6f8"),
    ("needs-you", "#9a5b00", "#f7b955"),
    ("failed", "#b3261e", "#ff8a80"),
];

/// Pixels of the tray's images: panels of usual and of twice the density.
const TRAY_SIZES: [u32; 4] = [16, 22, 32, 48];

/// Pixels of the app's images.
const APP_SIZES: [u32; 4] = [32, 128, 256, 512];

pub(crate) fn draw(checkout: &Checkout) -> Result<()> {
    setup::for_drawing()?;
    let icons = checkout.root().join("icons");
    for folder in ["app", "tray"] {
        let folder = icons.join(folder);
        fs::create_dir_all(&folder).map_err(Failure::file("create", &folder))?;
    }
    let style = checkout.target().join("icons.css");
    for size in APP_SIZES {
        image(&icons, &style, "app", "#000", size, &format!("app/{size}.png"))?;
    }
    for (state, light, dark) in STATES {
        for (panel, shade) in [("light", light), ("dark", dark)] {
            for size in TRAY_SIZES {
                image(&icons, &style, state, shade, size, &format!("tray/{state}-{panel}-{size}.png"))?;
            }
        }
    }
    Ok(())
}

fn image(icons: &Path, style: &Path, group: &str, shade: &str, size: u32, name: &str) -> Result<()> {
    let rules = format!("g {{ display: none }} g.{group} {{ display: inline }} svg {{ color: {shade} }}");
    fs::write(style, rules).map_err(Failure::file("write", style))?;
    let size = size.to_string();
    let mut render = Command::new("rsvg-convert");
    render
        .args(["--width", &size, "--height", &size, "--stylesheet"])
        .arg(style)
        .arg("--output")
        .arg(icons.join(name))
        .arg(icons.join("source.svg"));
    program::run(&mut render)
}
