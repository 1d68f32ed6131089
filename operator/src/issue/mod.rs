//! The networks' CAs, and the certificates that they issue (crate `tessera-pki` decides).

pub mod authorities;
pub mod leaf;
pub mod leftovers;
pub mod stored;
