//! Launch at login: an entry in the session's autostart folder, as the desktop specifications name it.
//!
//! Such entries vanish, are switched off by other programs or point to where the app was once, so whether it is on is never remembered
//! but read from the entry itself.

use std::path::{Path, PathBuf};
use std::{fs, io};

const NAME: &str = "org.mhnos.runtime.desktop";

fn entry() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(folder.join("autostart").join(NAME))
}

/// What a person starts: this program, or the AppImage that it is in, whose content has a place only while it runs.
fn program() -> io::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    Ok(what_is_started(std::env::current_exe()?, variable("APPIMAGE"), variable("APPDIR").as_deref()))
}

/// Image and folder are said to everything that was started from an AppImage, be it another one.
fn what_is_started(program: PathBuf, image: Option<PathBuf>, folder: Option<&Path>) -> PathBuf {
    let is_inside = folder.is_some_and(|folder| program.starts_with(folder));
    image.filter(|_| is_inside).unwrap_or(program)
}

/// Whether the session will start this very program.
pub(crate) fn is_on() -> bool {
    let text = entry().and_then(|entry| fs::read_to_string(entry).ok());
    let program = program().ok();
    text.zip(program).is_some_and(|(text, program)| starts(&text, &program))
}

/// Turns it on or off, and makes sure that it is so.
///
/// # Errors
/// When the entry cannot be written or removed, or does not say what was written.
pub(crate) fn turn(on: bool) -> io::Result<()> {
    let no_home = || io::Error::new(io::ErrorKind::NotFound, "there is no home folder");
    let entry = entry().ok_or_else(no_home)?;
    if on {
        fs::create_dir_all(entry.parent().unwrap_or(&entry))?;
        fs::write(&entry, content(&program()?))?;
    } else if let Err(error) = fs::remove_file(&entry)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    if is_on() == on {
        Ok(())
    } else {
        Err(io::Error::other(format!("{} is not as written", entry.display())))
    }
}

fn content(program: &Path) -> String {
    format!(
        "[Desktop Entry]\nType=Application\nName=MHNOS Runtime\nExec={}\nIcon=mhnos-desktop\nTerminal=false\n\
         X-GNOME-Autostart-enabled=true\n",
        command(program)
    )
}

/// The path as a command of an entry: quoted, since it may hold blanks, and with what is special there escaped.
fn command(program: &Path) -> String {
    let path = program.to_string_lossy().replace('\\', r"\\\\").replace('"', r#"\\""#);
    format!("\"{}\"", path.replace('$', r"\\$").replace('`', r"\\`").replace('%', "%%"))
}

fn starts(text: &str, program: &Path) -> bool {
    let has = |line: &str| text.lines().any(|other| other.trim().eq_ignore_ascii_case(line));
    has(&format!("Exec={}", command(program)))
        && !has("Hidden=true")
        && !has("X-GNOME-Autostart-enabled=false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_lies_is_off() {
        let program = Path::new("/opt/a b/mhnos-desktop");
        let text = content(program);
        assert!(starts(&text, program), "{text}");
        assert!(!starts(&text, Path::new("/usr/bin/mhnos-desktop")), "of an earlier place");
        assert!(!starts(&format!("{text}Hidden=true\n"), program));
        assert!(!starts(&text.replace("enabled=true", "enabled=false"), program));
    }

    #[test]
    fn an_app_image_is_started_as_the_file_it_is() {
        let [image, folder] = ["/home/ada/MHNOS.AppImage", "/tmp/.mount_1"].map(PathBuf::from);
        let started = |program: &str| what_is_started(program.into(), Some(image.clone()), Some(&folder));
        assert_eq!(started("/tmp/.mount_1/usr/bin/mhnos-desktop"), image);
        assert_eq!(started("/usr/bin/mhnos-desktop"), PathBuf::from("/usr/bin/mhnos-desktop"));
    }
}
