//! Which keys there may be: answers that a key is certainly new, from memory. Almost every insert is of a new key, and the index
//! on disk costs several reads of pages to say so.
//!
//! A Bloom filter in layers that grow with the number of keys. All bits of a key are in one cache line of each layer. The
//! bits come from the key's hash, which is uniform already; a key made to collide costs a read of the index and nothing else.

use crate::location::Key;

/// Words of 64 bits in one block, a cache line.
const BLOCK_WORDS: usize = 8;
/// Bits set for a key.
const BITS: u32 = 7;
/// Keys of a block: about 10 bits a key, so that one new key in fifty asks the index in vain.
const KEYS_PER_BLOCK: usize = 51;
/// Blocks of the first layer, 64 KiB; each next one has twice as many, up to 2 MiB.
const FIRST_BLOCKS: usize = 1 << 10;
const MOST_BLOCKS: usize = 1 << 15;
/// With all layers, 16 MiB for 13 million keys. Beyond that the index answers.
const MAX_LAYERS: usize = 12;

/// The keys that were added.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    layers: Vec<Layer>,
    /// Every key that the store has was added: what is not here is new.
    complete: bool,
    /// There were more keys than it is made for.
    overflown: bool,
}

#[derive(Debug)]
struct Layer {
    blocks: Vec<[u64; BLOCK_WORDS]>,
    keys: usize,
}

/// Where a key's bits are.
#[derive(Clone, Copy)]
struct Place {
    block: u64,
    bits: u64,
}

impl Filter {
    /// Whether the key is certainly new. False while not every key has been added.
    pub(crate) fn is_new(&self, key: &Key) -> bool {
        let place = Place::of(key);
        self.complete && !self.overflown && !self.layers.iter().any(|layer| layer.may_hold(place))
    }

    /// Adds a key.
    pub(crate) fn add(&mut self, key: &Key) {
        let place = Place::of(key);
        if self.overflown || self.layers.iter().any(|layer| layer.may_hold(place)) {
            return;
        }
        if self.layers.last().is_none_or(Layer::is_full) {
            if self.layers.len() == MAX_LAYERS {
                // It says nothing any more, so it takes no memory.
                *self = Self { overflown: true, ..Self::default() };
                return;
            }
            self.layers.push(Layer::new(MOST_BLOCKS.min(FIRST_BLOCKS << self.layers.len())));
        }
        if let Some(layer) = self.layers.last_mut() {
            layer.add(place);
        }
    }

    /// Every key that the store has was added, and every further one will be.
    pub(crate) fn completed(&mut self) {
        self.complete = true;
    }
}

impl Layer {
    fn new(blocks: usize) -> Self {
        Self { blocks: vec![[0; BLOCK_WORDS]; blocks], keys: 0 }
    }

    fn is_full(&self) -> bool {
        self.keys == self.blocks.len() * KEYS_PER_BLOCK
    }

    fn may_hold(&self, place: Place) -> bool {
        let block = &self.blocks[place.block_of(self.blocks.len())];
        place.bits().all(|(word, bit)| block[word] & bit != 0)
    }

    fn add(&mut self, place: Place) {
        let index = place.block_of(self.blocks.len());
        for (word, bit) in place.bits() {
            self.blocks[index][word] |= bit;
        }
        self.keys += 1;
    }
}

impl Place {
    fn of(key: &Key) -> Self {
        let word = |at: usize| {
            u64::from_le_bytes(key.hash.as_bytes()[at..at + 8].try_into().expect("a hash has 64 bytes"))
        };
        Self { block: word(0), bits: word(8) ^ key.kind as u64 }
    }

    /// The number of blocks is a power of two.
    fn block_of(self, blocks: usize) -> usize {
        usize::try_from(self.block & (blocks as u64 - 1)).expect("less than the number of blocks")
    }

    /// A word and a bit of it, from nine bits of the hash each.
    fn bits(self) -> impl Iterator<Item = (usize, u64)> {
        (0..BITS).map(move |number| {
            let nine = self.bits >> (9 * number) & 511;
            (usize::try_from(nine / 64).expect("below eight"), 1 << (nine % 64))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Hash, Kind};

    /// As uniform as a hash.
    fn key(number: u64) -> Key {
        let mut bytes = [0; Hash::LEN];
        for (at, chunk) in (1_u64..).zip(bytes.chunks_exact_mut(8)) {
            let mut word = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(at << 32 | at);
            for shift in [30, 27, 31] {
                word = (word ^ word >> shift).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            }
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Key { kind: Kind::Transaction, hash: Hash::new(bytes) }
    }

    fn filter(keys: u64) -> Filter {
        let mut filter = Filter::default();
        for number in 0..keys {
            filter.add(&key(number));
        }
        filter.completed();
        filter
    }

    #[test]
    fn a_key_that_was_added_is_never_new_and_few_others_are_taken_for_old() {
        const KEYS: u64 = 300_000;
        let filter = filter(KEYS);
        assert!(filter.layers.len() > 2);
        assert!((0..KEYS).all(|number| !filter.is_new(&key(number))));
        let wrong = (KEYS..2 * KEYS).filter(|number| !filter.is_new(&key(*number))).count();
        assert!(wrong < 20_000, "{wrong} of {KEYS} new keys are taken for old");
    }

    #[test]
    fn the_kinds_are_apart() {
        let filter = filter(1);
        assert!(filter.is_new(&Key { kind: Kind::Raw, ..key(0) }));
    }

    #[test]
    fn nothing_is_new_before_every_key_was_added_nor_beyond_the_bound() {
        let mut filter = Filter::default();
        assert!(!filter.is_new(&key(1)));
        filter.completed();
        assert!(filter.is_new(&key(1)));
        filter.layers = (0..MAX_LAYERS).map(|_| Layer { keys: KEYS_PER_BLOCK, ..Layer::new(1) }).collect();
        filter.add(&key(2));
        assert!(filter.overflown && !filter.is_new(&key(1)) && filter.layers.is_empty());
    }
}
