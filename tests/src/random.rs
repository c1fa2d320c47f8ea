//! Random numbers that can be had again.

/// A small generator (SplitMix64): the same seed gives the same numbers for ever, whatever library changes.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed that the variable names, or a new one. Printed, so that a failure can be played again.
    ///
    /// # Panics
    /// When the variable holds no number.
    pub fn from_environment(variable: &str) -> Self {
        let seed = match std::env::var(variable) {
            Ok(seed) => seed.parse().expect("the seed is a whole number"),
            Err(_) => std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_nanos() as u64),
        };
        eprintln!("play this again with {variable}={seed}");
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.number().to_le_bytes()).collect();
        bytes.truncate(count);
        bytes
    }

    /// About so many bytes of text, of characters of 1, 2, 3 and 4 bytes in any order.
    pub fn text(&mut self, bytes: usize) -> String {
        let characters = ['a', 'Z', ' ', '~', 'ä', 'ß', 'Ж', '€', '中', '語', '😀', '🦀'];
        let mut text = String::with_capacity(bytes + 4);
        while text.len() < bytes {
            let mut number = self.number();
            for _ in 0..12 {
                text.push(characters[(number % 12) as usize]);
                number /= 12;
            }
        }
        text
    }
}
