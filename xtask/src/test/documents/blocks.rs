//! Reading the `sh` blocks out of Markdown.

/// Commands that a document tells people to run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Where its first command stands.
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) place: Place,
}

/// Where they are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Checkout,
    Background,
    Clean,
    CleanArchive,
    Nowhere(String),
}

impl Place {
    /// Whether it is on this machine.
    pub(super) fn is_here(&self) -> bool {
        matches!(self, Self::Checkout | Self::Background)
    }

    fn of(comment: &str) -> Option<Self> {
        let comment = comment.strip_prefix("<!--")?.strip_suffix("-->")?.trim();
        if let Some(reason) = comment.strip_prefix("not run: ") {
            return Some(Self::Nowhere(reason.to_owned()));
        }
        match comment.strip_prefix("run: ")? {
            "in the background" => Some(Self::Background),
            "on a clean Debian" => Some(Self::Clean),
            "on a clean Debian, in the archive" => Some(Self::CleanArchive),
            _ => None,
        }
    }
}

/// All blocks of a document, or what is wrong with it.
pub(super) fn read(document: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = document.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            if !line.trim().is_empty() {
                before = line.trim();
            }
            continue;
        };
        if ["", "bash", "shell", "console", "zsh"].contains(&language) {
            return Err(format!(
                "line {}: mark commands as `sh`, so that they are run, or as `text`",
                number + 1
            ));
        }
        let content: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
        let comment = std::mem::take(&mut before);
        if language != "sh" {
            continue;
        }
        let is_about_running = ["<!-- run", "<!-- not run"].iter().any(|start| comment.starts_with(start));
        let place = match Place::of(comment) {
            Some(place) => place,
            None if is_about_running => {
                return Err(format!("line {}: what does {comment} mean?", number + 1));
            }
            None => Place::Checkout,
        };
        let text = content.iter().map(|line| format!("{line}\n")).collect();
        blocks.push(Block { line: number + 2, text, place });
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_with_where_they_are_run() {
        let document = "# A\n\n```sh\none\ntwo\n```\ntext\n\n<!-- run: in the background -->\n\n```sh\nthree\n```\n```text\nfour\n```\n\
                        <!-- not run: no -->\n```sh\nfive\n```\n```sh\nsix\n```\n";
        let blocks = read(document).unwrap();
        let found: Vec<_> = blocks.iter().map(|it| (it.line, it.text.as_str(), &it.place)).collect();
        let no = Place::Nowhere("no".into());
        assert_eq!(
            found,
            [
                (4, "one\ntwo\n", &Place::Checkout),
                (12, "three\n", &Place::Background),
                (19, "five\n", &no),
                (22, "six\n", &Place::Checkout)
            ]
        );
    }

    #[test]
    fn what_would_be_passed_over_is_a_fault() {
        assert!(read("```bash\nls\n```\n").unwrap_err().contains("line 1"));
        assert!(read("```\nls\n```\n").unwrap_err().contains("line 1"));
        assert!(read("<!-- run: in the backgroud -->\n```sh\nls\n```\n").unwrap_err().contains("line 2"));
    }
}
