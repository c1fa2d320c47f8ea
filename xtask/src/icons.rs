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

/// Which of them the icon of macOS holds, by the names it has for their sizes.
const ICNS: [(&[u8; 4], u32); 4] = [(b"ic11", 32), (b"ic07", 128), (b"ic08", 256), (b"ic09", 512)];

/// Which of them the icon of Windows holds.
const ICO: [u32; 3] = [32, 128, 256];

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
    write_installer_icons(&icons.join("app"))?;
    for (state, light, dark) in STATES {
        for (panel, shade) in [("light", light), ("dark", dark)] {
            for size in TRAY_SIZES {
                image(&icons, &style, state, shade, size, &format!("tray/{state}-{panel}-{size}.png"))?;
            }
        }
    }
    Ok(())
}

/// What the installers of Windows and macOS ask for: the same images in one file each.
fn write_installer_icons(folder: &Path) -> Result<()> {
    let image = |size: u32| {
        let file = folder.join(format!("{size}.png"));
        fs::read(&file).map_err(Failure::file("read", &file))
    };
    let images = ICO.iter().map(|&size| Ok((size, image(size)?))).collect::<Result<Vec<_>>>()?;
    write(&folder.join("icon.ico"), &ico(&images))?;
    let images = ICNS.iter().map(|&(name, size)| Ok((name, image(size)?))).collect::<Result<Vec<_>>>()?;
    write(&folder.join("icon.icns"), &icns(&images))
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    fs::write(file, content).map_err(Failure::file("write", file))
}

/// A directory of images, each with its size (256 is written as 0), its planes and bits, its length and where it is.
fn ico(images: &[(u32, Vec<u8>)]) -> Vec<u8> {
    const HEADER: usize = 6;
    const ENTRY: usize = 16;
    let mut file = [0_u16, 1, images.len() as u16].map(u16::to_le_bytes).concat();
    let mut place = HEADER + ENTRY * images.len();
    for (size, image) in images {
        let size = *size as u8;
        file.extend([size, size, 0, 0]);
        file.extend([1_u16, 32].map(u16::to_le_bytes).concat());
        file.extend([image.len() as u32, place as u32].map(u32::to_le_bytes).concat());
        place += image.len();
    }
    images.iter().for_each(|(_, image)| file.extend(image));
    file
}

/// Images one after the other, each with its name and its length with both.
fn icns(images: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    const HEADER: usize = 8;
    let entry = |name: &[u8; 4], content: &[u8]| {
        [name.as_slice(), &((content.len() + HEADER) as u32).to_be_bytes(), content].concat()
    };
    let entries: Vec<u8> = images.iter().flat_map(|(name, image)| entry(name, image)).collect();
    entry(b"icns", &entries)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn icons_of_windows_say_where_each_image_is() {
        let file = ico(&[(32, b"small".to_vec()), (256, b"larger".to_vec())]);
        let read = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((file[6], file[22]), (32, 0));
        assert_eq!(&file[read(18)..][..read(14)], b"small");
        assert_eq!(&file[read(34)..][..read(30)], b"larger");
        assert_eq!(file.len(), read(34) + read(30));
    }

    #[test]
    fn icons_of_macos_are_named_lengths() {
        assert_eq!(icns(&[(b"ic07", b"image".to_vec())]), b"icns\0\0\0\x15ic07\0\0\0\x0dimage");
    }
}
