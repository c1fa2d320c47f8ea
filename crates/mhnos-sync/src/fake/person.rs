//! What people do in a folder. What cannot be done there is not done, as no system would do it.

use super::{Fake, Thing, path};
use crate::model::{Content, RelativePath};
use crate::tree::ancestors;

impl Fake {
    /// Writes a file, with the folders it is in. A file that is there is written in place: the same file, with a new time.
    pub(crate) fn write(&mut self, at: &str, text: impl AsRef<[u8]>) {
        let at = self.cased(&path(at));
        let bytes = text.as_ref();
        if self.things.get(&at).is_some_and(|thing| !matches!(thing, Thing::File(_)))
            || !self.make_parents(&at)
        {
            return;
        }
        let mut file = self.file(bytes.into(), false);
        let before = match self.things.get(&at) {
            Some(Thing::File(old)) => {
                (file.executable, file.stamp.inode) = (old.executable, old.stamp.inode);
                Some(old.content)
            }
            _ => None,
        };
        if !bytes.is_empty() {
            self.written.insert(file.content);
        }
        self.replaced.remove(&file.content);
        self.things.insert(at, Thing::File(file));
        self.replace(before);
    }

    /// Saves as editors do that write beside the file and rename.
    pub(crate) fn save(&mut self, at: &str, text: &str) {
        let beside = format!("{at}.tmp");
        self.write(&beside, text);
        self.rename(&beside, at);
    }

    pub(crate) fn make_directory(&mut self, at: &str) {
        let at = self.cased(&path(at));
        if !self.things.contains_key(&at) && self.make_parents(&at) {
            self.things.insert(at, Thing::Directory);
        }
    }

    pub(crate) fn make_link(&mut self, at: &str) {
        let at = self.cased(&path(at));
        if !self.things.contains_key(&at) && self.make_parents(&at) {
            self.things.insert(at, Thing::Link);
        }
    }

    pub(crate) fn set_executable(&mut self, at: &str, executable: bool) {
        let now = self.clock.look().as_nanos() as i64;
        if let Some(Thing::File(file)) = self.things.get_mut(&path(at)) {
            file.executable = executable;
            file.stamp.ctime = now;
        }
    }

    /// Removes a path and all that is in it.
    pub(crate) fn remove(&mut self, at: &str) {
        let at = path(at);
        let gone: Vec<_> =
            self.things.keys().filter(|path| **path == at || path.is_in(&at)).cloned().collect();
        let contents: Vec<_> = gone
            .iter()
            .filter_map(|path| match self.things.remove(path) {
                Some(Thing::File(file)) => Some(file.content),
                _ => None,
            })
            .collect();
        contents.into_iter().for_each(|content| self.replace(Some(content)));
    }

    /// Moves a path and all that is in it. A file that is there is replaced.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (path(from), path(to));
        let to = if to.as_str().eq_ignore_ascii_case(from.as_str()) { to } else { self.cased(&to) };
        let replaces = match (self.things.get(&from), self.things.get(&to)) {
            (None, _) | (Some(_), Some(Thing::Directory | Thing::Link)) => return,
            (Some(Thing::Directory), Some(_)) => return,
            (_, there) => there.is_some(),
        };
        if to == from || to.is_in(&from) || !self.make_parents(&to) {
            return;
        }
        if replaces {
            self.remove(to.as_str());
        }
        self.rename_path(&from, &to);
    }

    /// All is gone, without anybody having looked at it.
    pub(crate) fn clear(&mut self) {
        self.things.clear();
        self.known.clear();
        self.staged.clear();
    }

    pub(crate) fn text(&self, at: &str) -> Option<String> {
        match self.things.get(&path(at))? {
            Thing::File(file) => Some(String::from_utf8_lossy(&file.bytes).into_owned()),
            _ => None,
        }
    }

    /// All paths that are not ignored, folders with a slash behind them.
    pub(crate) fn listing(&self) -> Vec<String> {
        let shown = self.things.iter().filter(|(path, _)| !self.is_ignored(path));
        let text = |(path, thing): (&RelativePath, &Thing)| match thing {
            Thing::Directory => format!("{path}/"),
            _ => path.to_string(),
        };
        shown.map(text).collect()
    }

    /// A person who saw this content no longer wants it where it was.
    fn replace(&mut self, content: Option<Content>) {
        if let Some(content) = content.filter(|content| !self.has(*content)) {
            self.replaced.insert(content);
        }
    }

    /// Whether it can be in a folder now.
    fn make_parents(&mut self, at: &RelativePath) -> bool {
        if self.cannot_hold(at) {
            return false;
        }
        let folders: Vec<_> = ancestors(at).collect();
        if folders.iter().any(|folder| self.things.get(folder).is_some_and(|it| *it != Thing::Directory)) {
            return false;
        }
        for folder in folders {
            self.things.entry(folder).or_insert(Thing::Directory);
        }
        true
    }

    /// The path as it is spelled here already, where names that differ only in case are one.
    fn cased(&self, at: &RelativePath) -> RelativePath {
        if !self.case_insensitive {
            return at.clone();
        }
        let mut known: Option<RelativePath> = None;
        for name in at.as_str().split('/') {
            let next = known.as_ref().map_or_else(|| path(name), |folder| folder.join(name).unwrap());
            let same = |other: &&RelativePath| other.as_str().eq_ignore_ascii_case(next.as_str());
            known = Some(self.things.keys().find(same).cloned().unwrap_or(next));
        }
        known.unwrap_or_else(|| at.clone())
    }
}
