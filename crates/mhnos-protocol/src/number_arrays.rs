//! Takes the file contents out of a 1.x `fsync push` before the JSON is parsed.
//!
//! The published client sends each byte of a file as a decimal number: five files of 5 MB are 100 MB of JSON. A general
//! parser spends 10 ns on each number, twice. Here each array of bytes is decoded in one tight pass, and a short
//! stand-in is left in its place; what remains of the message is small and goes through serde like any other.
//!
//! The stand-in of the n-th array is `[256 + n]`. No array of bytes looks like that, and an array that only claims to be
//! a stand-in either names an array that does not exist or one that is then claimed twice: both are refused when
//! the arrays are handed out ([`Arrays::take`]), so no message means anything else than without this module.

use std::borrow::Cow;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// First number that is not a byte.
const FIRST_STAND_IN: u64 = 256;

/// The arrays taken out of one message.
#[derive(Debug, Default)]
pub(crate) struct Arrays(Vec<Option<Vec<u8>>>);

impl Arrays {
    /// The bytes that `content` stands for; `None` when it was not an array of bytes.
    pub(crate) fn take(&mut self, content: Content) -> Option<Vec<u8>> {
        match content {
            Content::Bytes(bytes) => Some(bytes),
            Content::StandIn(index) => self.0.get_mut(index)?.take(),
        }
    }
}

/// A field that is an array of bytes, as it is found in what [`extract`] leaves.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    StandIn(usize),
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ContentVisitor;
        impl<'de> Visitor<'de> for ContentVisitor {
            type Value = Content;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("an array of numbers from 0 to 255")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Content, A::Error> {
                let mut bytes = Vec::new();
                while let Some(number) = sequence.next_element::<u64>()? {
                    match u8::try_from(number) {
                        Ok(byte) => bytes.push(byte),
                        Err(_)
                            if bytes.is_empty() && sequence.next_element::<de::IgnoredAny>()?.is_none() =>
                        {
                            let index =
                                usize::try_from(number - FIRST_STAND_IN).map_err(de::Error::custom)?;
                            return Ok(Content::StandIn(index));
                        }
                        Err(_) => {
                            return Err(de::Error::invalid_value(de::Unexpected::Unsigned(number), &self));
                        }
                    }
                }
                Ok(Content::Bytes(bytes))
            }
        }
        deserializer.deserialize_seq(ContentVisitor)
    }
}

/// Decodes every array of bytes in `text` and leaves stand-ins. What is not well-formed is left as it is, for the parser
/// to complain about.
pub(crate) fn extract(text: &str) -> (Cow<'_, str>, Arrays) {
    let bytes = text.as_bytes();
    let mut arrays = Vec::new();
    let mut skeleton = String::new();
    let mut copied = 0;
    let mut position = 0;
    while let Some(found) = memchr::memchr2(b'"', b'[', &bytes[position..]) {
        let start = position + found;
        if bytes[start] == b'"' {
            position = end_of_string(bytes, start);
        } else if let Some((array, end)) = byte_array(bytes, start) {
            skeleton.push_str(&text[copied..start]);
            skeleton.push_str(&format!("[{}]", FIRST_STAND_IN + arrays.len() as u64));
            arrays.push(Some(array));
            copied = end;
            position = end;
        } else {
            position = start + 1;
        }
    }
    if arrays.is_empty() {
        return (Cow::Borrowed(text), Arrays::default());
    }
    skeleton.push_str(&text[copied..]);
    (Cow::Owned(skeleton), Arrays(arrays))
}

/// Position behind the string that begins at `start`, or the end of the text where it is not closed.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(found) = bytes.get(position..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        position += found;
        if bytes[position] == b'"' {
            return position + 1;
        }
        position += 2;
    }
    bytes.len()
}

/// The array of one or more bytes that begins at `start`, and the position behind it.
fn byte_array(bytes: &[u8], start: usize) -> Option<(Vec<u8>, usize)> {
    let mut array = Vec::new();
    let mut position = start + 1;
    loop {
        position = skip_whitespace(bytes, position);
        let mut digit = bytes.get(position)?.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        let mut number = u16::from(digit);
        position += 1;
        // JSON has no leading zeros, so a second digit may only follow 1 to 9.
        for _ in 0..2 {
            digit = bytes.get(position)?.wrapping_sub(b'0');
            if digit > 9 || number == 0 {
                break;
            }
            number = number * 10 + u16::from(digit);
            position += 1;
        }
        array.push(u8::try_from(number).ok()?);
        if bytes.get(position)? != &b',' {
            position = skip_whitespace(bytes, position);
            match bytes.get(position)? {
                b']' => return Some((array, position + 1)),
                b',' => {}
                _ => return None,
            }
        }
        position += 1;
    }
}

fn skip_whitespace(bytes: &[u8], mut position: usize) -> usize {
    while matches!(bytes.get(position), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        position += 1;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(text: &str) -> Option<Vec<Vec<u8>>> {
        let (skeleton, mut arrays) = extract(text);
        let contents: Vec<Content> = serde_json::from_str(&skeleton).ok()?;
        contents.into_iter().map(|content| arrays.take(content)).collect()
    }

    #[test]
    fn arrays_of_bytes_are_taken_and_everything_else_is_left() {
        let text = r#"{"a":"[1,2]\"[3]","b":[0, 255 ,7],"c":[256],"d":[01],"e":[1.5],"f":[[9]],"g":[]}"#;
        let (skeleton, arrays) = extract(text);
        assert_eq!(
            skeleton,
            r#"{"a":"[1,2]\"[3]","b":[256],"c":[256],"d":[01],"e":[1.5],"f":[[257]],"g":[]}"#
        );
        assert_eq!(arrays.0, [Some(vec![0, 255, 7]), Some(vec![9])]);
    }

    #[test]
    fn a_claimed_stand_in_is_refused() {
        assert_eq!(contents("[[1,2],[256]]"), None, "claimed twice");
        assert_eq!(contents("[[257],[1,2]]"), None, "does not exist");
        assert_eq!(contents("[[18446744073709551615]]"), None);
        assert_eq!(contents("[[256,1]]"), None);
        assert_eq!(contents("[[1,256]]"), None);
        assert_eq!(contents("[[1,2],[],[3]]"), Some(vec![vec![1, 2], vec![], vec![3]]));
    }

    proptest! {
        #[test]
        fn agrees_with_the_general_parser(text in "\\[(\\[([0-9]{1,3} ?,? ?){0,6}\\],? ?){0,4}\\]?") {
            let plain: Option<Vec<Vec<u8>>> = serde_json::from_str(&text).ok();
            prop_assert_eq!(contents(&text), plain);
        }

        #[test]
        fn every_content_survives(files in proptest::collection::vec(any::<Vec<u8>>(), 0..5)) {
            let text = serde_json::to_string(&files).unwrap();
            prop_assert_eq!(contents(&text), Some(files));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]\",0-9\\\\a{}: é]{0,40}") {
            extract(&text);
        }
    }
}
