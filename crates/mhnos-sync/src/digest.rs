//! A sum over a tree that tells in 32 bytes whether two sides know the same.
//!
//! Each entry is hashed as it is written on the wire, and the hashes are added up modulo 2^256. So an entry that changes costs two hashes,
//! however large the tree is, and the order in which things became known does not matter.

use crate::model::{Node, RelativePath, Tree};

/// See the [module's description](self). That of nothing is all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u64; 4]);

impl Digest {
    /// Of a whole tree.
    pub fn of(tree: &Tree) -> Self {
        let mut digest = Self::default();
        tree.iter().for_each(|(path, node)| digest.add(path, node));
        digest
    }

    /// There is an entry more.
    pub fn add(&mut self, path: &RelativePath, node: &Node) {
        let mut carry = false;
        for (own, other) in self.0.iter_mut().zip(entry(path, node)) {
            let (sum, first) = own.overflowing_add(other);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*own, carry) = (sum, first || second);
        }
    }

    /// There is an entry less.
    pub fn subtract(&mut self, path: &RelativePath, node: &Node) {
        let mut borrow = false;
        for (own, other) in self.0.iter_mut().zip(entry(path, node)) {
            let (difference, first) = own.overflowing_sub(other);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (*own, borrow) = (difference, first || second);
        }
    }

    /// As it travels: little-endian.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes
            .chunks_exact_mut(8)
            .zip(self.0)
            .for_each(|(place, word)| place.copy_from_slice(&word.to_le_bytes()));
        bytes
    }
}

/// The hash of one entry, as four words, lowest first.
fn entry(path: &RelativePath, node: &Node) -> [u64; 4] {
    let text = path.as_str().as_bytes();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(text.len() as u16).to_le_bytes()).update(text);
    match node {
        Node::Directory => {
            hasher.update(&[1]);
        }
        Node::File { content, size, executable } => {
            hasher.update(&[if *executable { 3 } else { 2 }]).update(&size.to_le_bytes()).update(&content.0);
        }
    }
    let hash = hasher.finalize();
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
        *word = chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Content;

    fn file(byte: u8) -> Node {
        Node::File { content: Content([byte; 32]), size: u64::from(byte), executable: byte.is_multiple_of(2) }
    }

    #[test]
    fn order_does_not_matter_and_subtracting_undoes() {
        let paths: Vec<_> = (0..200).map(|n| RelativePath::new(&format!("d/{n}")).unwrap()).collect();
        let mut forward = Digest::default();
        let mut backward = Digest::default();
        paths.iter().enumerate().for_each(|(n, path)| forward.add(path, &file(n as u8)));
        paths.iter().enumerate().rev().for_each(|(n, path)| backward.add(path, &file(n as u8)));
        assert_eq!(forward, backward);
        assert_ne!(forward, Digest::default());
        paths.iter().enumerate().for_each(|(n, path)| forward.subtract(path, &file(n as u8)));
        assert_eq!(forward, Digest::default());
    }

    #[test]
    fn it_is_the_hash_of_the_record_for_one_entry() {
        let path = RelativePath::new("a").unwrap();
        let mut digest = Digest::default();
        digest.add(&path, &Node::Directory);
        assert_eq!(digest.to_bytes(), *blake3::hash(&[1, 0, b'a', 1]).as_bytes());
    }
}
