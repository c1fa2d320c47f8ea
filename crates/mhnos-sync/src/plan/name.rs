//! Names of conflict copies: `name.conflict-<replica>-<n>.ext`.

use crate::model::{NAME_BYTES, PathError, RelativePath};

/// Longest part of a replica's name that is used.
const REPLICA_BYTES: usize = 32;

/// The `n`th name for a copy of a file.
///
/// # Errors
/// When the path would be too long. The name itself is shortened to fit.
pub fn conflict_copy(path: &RelativePath, replica: &str, n: usize) -> Result<RelativePath, PathError> {
    let name = path.name();
    // A name that begins with a dot has no ending because of it.
    let (stem, ending) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    let ending = if ending.len() > REPLICA_BYTES { "" } else { ending };
    let stem = if ending.is_empty() { name } else { stem };
    let mark = format!(".conflict-{}-{n}", plain(replica));
    let room = NAME_BYTES.saturating_sub(mark.len() + ending.len());
    let name = format!("{}{mark}{ending}", shortened(stem, room));
    match path.parent() {
        Some(folder) => folder.join(&name),
        None => RelativePath::new(&name),
    }
}

/// Only what every file system can hold in a name, wherever it stands.
fn plain(replica: &str) -> String {
    let allowed = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let plain: String = replica.chars().map(allowed).take(REPLICA_BYTES).collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { "replica".to_owned() } else { plain.to_owned() }
}

/// The first bytes of a text, at most so many, without half a character.
fn shortened(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(path: &str, replica: &str, n: usize) -> String {
        conflict_copy(&RelativePath::new(path).unwrap(), replica, n).unwrap().to_string()
    }

    #[test]
    fn names_of_copies() {
        assert_eq!(copy("a/notes.txt", "Chromium on laptop", 1), "a/notes.conflict-Chromium-on-laptop-1.txt");
        assert_eq!(copy("Makefile", "../../etc", 2), "Makefile.conflict-etc-2");
        assert_eq!(copy(".env", "", 3), ".env.conflict-replica-3");
        assert_eq!(copy("x.tar.gz", "é", 1), "x.tar.conflict-replica-1.gz");
    }

    #[test]
    fn a_long_name_is_shortened_between_characters() {
        let long = format!("{}.txt", "é".repeat(125));
        let copy = copy(&long, "tab", 12);
        assert!(copy.len() <= NAME_BYTES && copy.ends_with("é.conflict-tab-12.txt"), "{copy}");
    }
}
