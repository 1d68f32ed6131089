//! The primitive values of the length-prefixed formats: 8-byte big-endian numbers, byte strings, arrays of them.

use bytes::Bytes;

use super::{DecodeError, MAX_ITEMS};

/// Length of a number.
pub(super) const NUMBER: usize = 8;

/// Reads values from the front. Lengths are bounded by what is left, so nothing is ever allocated on a peer's word.
pub(super) struct Reader<'a> {
    input: &'a Bytes,
    position: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a Bytes) -> Self {
        Self { input, position: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left() == 0
    }

    fn left(&self) -> usize {
        self.input.len() - self.position
    }

    fn number(&mut self) -> Result<i64, DecodeError> {
        let bytes = self.input[self.position..].first_chunk::<NUMBER>();
        let bytes = bytes.ok_or_else(|| DecodeError::Truncated { needed: NUMBER, left: self.left() })?;
        self.position += NUMBER;
        Ok(i64::from_be_bytes(*bytes))
    }

    /// A length or a count, as far as Java arrays reach.
    fn length(&mut self) -> Result<usize, DecodeError> {
        let number = self.number()?;
        i32::try_from(number)
            .ok()
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(DecodeError::InvalidLength(number))
    }

    /// A byte string, as a slice of the input.
    pub(super) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let needed = self.length()?;
        let left = self.left();
        if needed > left {
            return Err(DecodeError::Truncated { needed, left });
        }
        let start = self.position;
        self.position += needed;
        Ok(self.input.slice(start..self.position))
    }

    /// A count, then as many elements. Each takes at least `element` bytes, which bounds the count.
    pub(super) fn array<T>(
        &mut self,
        element: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.length()?;
        if count > MAX_ITEMS {
            return Err(DecodeError::TooManyItems);
        }
        let (needed, left) = (count.saturating_mul(element), self.left());
        if needed > left {
            return Err(DecodeError::Truncated { needed, left });
        }
        (0..count).map(|_| read(self)).collect()
    }

    /// An array of byte strings.
    pub(super) fn byte_arrays(&mut self) -> Result<Vec<Bytes>, DecodeError> {
        self.array(NUMBER, Self::bytes)
    }
}

/// Appends values.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn number(&mut self, number: usize) {
        // A length in memory is below 2^63 on every platform.
        self.0.extend_from_slice(&(number as u64).to_be_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn array<'b>(&mut self, items: impl ExactSizeIterator<Item = &'b [u8]>) {
        self.number(items.len());
        for item in items {
            self.bytes(item);
        }
    }
}
