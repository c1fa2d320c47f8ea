//! The tray's pictures: five signs, each for light and for dark panels, in the sizes panels have. Drawn by `cargo xtask icons`.

use gtk::prelude::*;
use tauri::AppHandle;
use tokio::sync::watch;

use crate::snapshot::{Phase, Snapshot};

/// What the icon says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Stopped,
    Starting,
    Running,
    NeedsYou,
    Failed,
}

impl Sign {
    /// The one for what is the case.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        match snapshot.engine.phase {
            Phase::Stopped => Self::Stopped,
            Phase::Starting | Phase::Stopping => Self::Starting,
            Phase::Running if snapshot.engine.needs_you > 0 => Self::NeedsYou,
            Phase::Running => Self::Running,
            Phase::Failed => Self::Failed,
        }
    }
}

macro_rules! sizes {
    ($name:literal) => {
        [
            include_bytes!(concat!("../../../icons/tray/", $name, "-16.png")).as_slice(),
            include_bytes!(concat!("../../../icons/tray/", $name, "-22.png")).as_slice(),
            include_bytes!(concat!("../../../icons/tray/", $name, "-32.png")).as_slice(),
            include_bytes!(concat!("../../../icons/tray/", $name, "-48.png")).as_slice(),
        ]
    };
}

/// The pictures of a sign.
pub(super) fn pictures(sign: Sign, is_dark: bool) -> Vec<ksni::Icon> {
    let files = match (sign, is_dark) {
        (Sign::Stopped, false) => sizes!("stopped-light"),
        (Sign::Stopped, true) => sizes!("stopped-dark"),
        (Sign::Starting, false) => sizes!("starting-light"),
        (Sign::Starting, true) => sizes!("starting-dark"),
        (Sign::Running, false) => sizes!("running-light"),
        (Sign::Running, true) => sizes!("running-dark"),
        (Sign::NeedsYou, false) => sizes!("needs-you-light"),
        (Sign::NeedsYou, true) => sizes!("needs-you-dark"),
        (Sign::Failed, false) => sizes!("failed-light"),
        (Sign::Failed, true) => sizes!("failed-dark"),
    };
    files.into_iter().filter_map(picture).collect()
}

/// A file as the bus wants it: alpha, red, green, blue.
fn picture(file: &[u8]) -> Option<ksni::Icon> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().ok()?;
    let mut data = vec![0; reader.output_buffer_size()?];
    let info = reader.next_frame(&mut data).ok()?;
    if info.color_type != png::ColorType::Rgba {
        return None;
    }
    data.truncate(info.buffer_size());
    data.chunks_exact_mut(4).for_each(|pixel| pixel.rotate_right(1));
    Some(ksni::Icon { width: info.width.cast_signed(), height: info.height.cast_signed(), data })
}

/// Whether the panel is dark, and how that changes. GNOME's always is; elsewhere it follows the theme.
pub(super) async fn dark_panel(app: &AppHandle) -> watch::Receiver<bool> {
    let desktop = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default().to_ascii_lowercase();
    let is_gnome = ["gnome", "unity"].iter().any(|name| desktop.contains(name));
    let (send, receive) = watch::channel(true);
    if is_gnome {
        // Nothing changes that; who watches must not think that the app has ended.
        tokio::spawn(async move { send.closed().await });
        return receive;
    }
    let follow = move || {
        let Some(settings) = gtk::Settings::default() else { return };
        let is_dark = |settings: &gtk::Settings| {
            let name = settings.gtk_theme_name().unwrap_or_default().to_ascii_lowercase();
            settings.is_gtk_application_prefer_dark_theme() || name.ends_with("dark")
        };
        send.send_replace(is_dark(&settings));
        let send = std::sync::Arc::new(send);
        let other = std::sync::Arc::clone(&send);
        settings.connect_gtk_theme_name_notify(move |settings| {
            send.send_replace(is_dark(settings));
        });
        settings.connect_gtk_application_prefer_dark_theme_notify(move |settings| {
            other.send_replace(is_dark(settings));
        });
    };
    let mut first = receive.clone();
    if app.run_on_main_thread(follow).is_ok() {
        let _ = first.changed().await;
    }
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sign_has_a_picture_of_its_own_in_every_size() {
        let signs = [Sign::Stopped, Sign::Starting, Sign::Running, Sign::NeedsYou, Sign::Failed];
        let mut seen = Vec::new();
        for sign in signs {
            for is_dark in [false, true] {
                let pictures = pictures(sign, is_dark);
                let sizes: Vec<_> = pictures.iter().map(|picture| (picture.width, picture.height)).collect();
                assert_eq!(sizes, [(16, 16), (22, 22), (32, 32), (48, 48)], "{sign:?}");
                // The shape alone, without its colour.
                let shape: Vec<_> = pictures[0].data.chunks(4).map(|pixel| pixel[0] > 127).collect();
                if !is_dark {
                    assert!(!seen.contains(&shape), "{sign:?} looks like another");
                    seen.push(shape);
                }
            }
        }
    }
}
