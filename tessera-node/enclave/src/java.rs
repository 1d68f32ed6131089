//! Arithmetic of the Java library that is visible from outside, because orders depend on it.

/// `java.util.Arrays.hashCode(byte[])`.
pub(crate) fn array_hash(bytes: &[u8]) -> i32 {
    bytes.iter().fold(1_i32, |hash, &byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte.cast_signed())))
}

/// The bucket of a hash code in a `java.util.HashMap` of that capacity (a power of two).
pub(crate) fn hash_map_bucket(hash: i32, capacity: u32) -> u32 {
    let hash = hash.cast_unsigned();
    (hash ^ (hash >> 16)) & (capacity - 1)
}

/// The capacity `new HashSet<>(collection)` gives itself for `len` elements.
pub(crate) fn hash_set_capacity(len: usize) -> u32 {
    // Java: max((int) (len / .75f) + 1, 16), rounded up to a power of two.
    let wanted = u32::try_from(len / 3 * 4 + len % 3 * 4 / 3 + 1).unwrap_or(1 << 30);
    wanted.max(16).checked_next_power_of_two().unwrap_or(1 << 30).min(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_hash_is_signed_and_wraps() {
        assert_eq!(array_hash(&[]), 1);
        assert_eq!(array_hash(&[0xff]), 30);
        assert_eq!(array_hash(&[0x7f; 32]), {
            let mut hash = 1_i32;
            for _ in 0..32 {
                hash = hash.wrapping_mul(31).wrapping_add(127);
            }
            hash
        });
    }

    #[test]
    fn capacity_follows_the_load_factor() {
        assert_eq!(hash_set_capacity(1), 16);
        assert_eq!(hash_set_capacity(11), 16);
        assert_eq!(hash_set_capacity(12), 32);
        assert_eq!(hash_set_capacity(40), 64);
    }
}
