//! `crypto_box` as Tessera uses it: X25519 and `HSalsa20` for the shared key, `XSalsa20`-`Poly1305` for everything
//! sealed, the tag in front. A master key is used as a shared key directly.

use crypto_secretbox::aead::generic_array::GenericArray;
use crypto_secretbox::{AeadInPlace, Kdf, KeyInit, Tag, XSalsa20Poly1305};
use curve25519_dalek::MontgomeryPoint;
use zeroize::Zeroizing;

use crate::key::{KEY_LEN, NONCE_LEN, Nonce, PrivateKey, PublicKey, SharedKey};
use crate::secret::SecretBytes;

/// Length of the authentication tag in front of each sealed value.
pub(crate) const TAG_LEN: usize = 16;

/// Why a primitive refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[non_exhaustive]
pub enum CryptoError {
    /// The text is the one of the Java array access that meets the end of the key.
    #[error("Index {0} out of bounds for length {0}")]
    ShortPublicKey(usize),
    /// A nonce that is not 24 bytes long: the payload was not made by this cipher.
    #[error("nonce has {0} bytes: 24 are needed")]
    NonceLength(usize),
    /// Wrong key or nonce, or the sealed bytes were changed.
    #[error("jnacl could not open the payload using the shared key")]
    Open,
    /// The plaintext exceeds what one nonce may protect.
    #[error("jnacl could not seal the payload using the shared key")]
    Seal,
}

/// `crypto_box_beforenm`. Low-order points are accepted, as by Tessera.
pub(crate) fn shared_key(public: &PublicKey, private: &PrivateKey) -> Result<SharedKey, CryptoError> {
    let point = public.x25519().ok_or(CryptoError::ShortPublicKey(public.as_bytes().len()))?;
    let point = MontgomeryPoint(*point);
    let secret = Zeroizing::new(point.mul_clamped(*private.expose()));
    let key = Zeroizing::new(XSalsa20Poly1305::kdf(
        GenericArray::from_slice(secret.as_bytes()),
        &GenericArray::default(),
    ));
    let mut shared = SecretBytes::transient();
    shared.bytes_mut().copy_from_slice(&key);
    Ok(SharedKey(shared))
}

/// Seals in place. The buffer's first [`TAG_LEN`] bytes are room for the tag; the rest is the plaintext.
pub(crate) fn seal_in_place(
    key: &[u8; KEY_LEN],
    nonce: &Nonce,
    buffer: &mut [u8],
) -> Result<(), CryptoError> {
    let (tag, text) = buffer.split_at_mut_checked(TAG_LEN).ok_or(CryptoError::Seal)?;
    let made = cipher(key)
        .encrypt_in_place_detached(nacl(nonce)?.into(), b"", text)
        .map_err(|_| CryptoError::Seal)?;
    tag.copy_from_slice(&made);
    Ok(())
}

/// Opens a long value: one allocation, decrypted in its final place.
pub(crate) fn open(key: &[u8; KEY_LEN], nonce: &Nonce, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (tag, text) = sealed.split_at_checked(TAG_LEN).ok_or(CryptoError::Open)?;
    let mut text = text.to_vec();
    open_in_place(key, nonce, tag, &mut text)?;
    Ok(text)
}

/// Opens a box that must hold exactly the `N` bytes of `secret`.
pub(crate) fn open_secret<const N: usize>(
    key: &[u8; KEY_LEN],
    nonce: &Nonce,
    sealed: &[u8],
    mut secret: SecretBytes<N>,
) -> Result<SecretBytes<N>, CryptoError> {
    let (tag, text) = sealed.split_at_checked(TAG_LEN).ok_or(CryptoError::Open)?;
    if text.len() != N {
        return Err(CryptoError::Open);
    }
    secret.bytes_mut().copy_from_slice(text);
    open_in_place(key, nonce, tag, secret.bytes_mut())?;
    Ok(secret)
}

fn open_in_place(key: &[u8; KEY_LEN], nonce: &Nonce, tag: &[u8], text: &mut [u8]) -> Result<(), CryptoError> {
    cipher(key)
        .decrypt_in_place_detached(nacl(nonce)?.into(), b"", text, Tag::from_slice(tag))
        .map_err(|_| CryptoError::Open)
}

fn nacl(nonce: &Nonce) -> Result<&[u8; NONCE_LEN], CryptoError> {
    nonce.nacl().ok_or(CryptoError::NonceLength(nonce.as_bytes().len()))
}

fn cipher(key: &[u8; KEY_LEN]) -> XSalsa20Poly1305 {
    XSalsa20Poly1305::new(key.into())
}

#[cfg(test)]
mod tests {
    use crypto_box::SalsaBox;
    use crypto_box::aead::Aead;

    use super::*;
    use crate::key::KeyPair;

    fn pair() -> KeyPair {
        KeyPair::generate().expect("locked memory")
    }

    #[test]
    fn agrees_with_crypto_box() {
        let (ours, theirs) = (pair(), pair());
        let nonce = Nonce::generate();
        let mut sealed = vec![0; TAG_LEN];
        sealed.extend_from_slice(b"message");
        let shared = shared_key(theirs.public(), ours.private()).expect("derived");
        seal_in_place(shared.expose(), &nonce, &mut sealed).expect("sealed");

        let their_secret = crypto_box::SecretKey::from_bytes(*theirs.private().expose());
        assert_eq!(their_secret.public_key().as_bytes(), theirs.public().as_bytes());
        let our_public = crypto_box::PublicKey::from_slice(ours.public().as_bytes()).expect("32 bytes");
        let other = SalsaBox::new(&our_public, &their_secret);
        let nonce = nonce.nacl().expect("24 bytes").into();
        assert_eq!(other.decrypt(nonce, &sealed[..]).expect("opened"), b"message");
        assert_eq!(other.encrypt(nonce, &b"message"[..]).expect("sealed"), sealed);
    }

    #[test]
    fn an_all_zero_key_is_accepted() {
        let own = pair();
        shared_key(&PublicKey::from([0; 32]), own.private()).expect("as Tessera");
    }

    #[test]
    fn a_buffer_without_room_for_the_tag_is_refused() {
        let refused = seal_in_place(&[0; KEY_LEN], &Nonce::generate(), &mut [0; TAG_LEN - 1]);
        assert_eq!(
            refused.expect_err("no room").to_string(),
            "jnacl could not seal the payload using the shared key"
        );
    }

    #[test]
    fn short_values_do_not_open() {
        for length in 0..TAG_LEN {
            let sealed = vec![0; length];
            assert_eq!(open(&[0; KEY_LEN], &Nonce::generate(), &sealed), Err(CryptoError::Open));
        }
    }

    #[test]
    fn a_box_of_another_length_does_not_open() {
        let nonce = Nonce::generate();
        let mut sealed = vec![0; TAG_LEN + KEY_LEN + 1];
        seal_in_place(&[1; KEY_LEN], &nonce, &mut sealed).expect("sealed");
        let place = SecretBytes::<KEY_LEN>::transient();
        assert_eq!(open_secret(&[1; KEY_LEN], &nonce, &sealed, place), Err(CryptoError::Open));
    }
}
