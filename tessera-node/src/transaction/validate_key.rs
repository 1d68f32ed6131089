//! A peer asks us to prove that we hold a key: we open what is sealed for it.

use bytes::Bytes;
use tessera_enclave::{PayloadCodec, open};

use super::{Error, TransactionManager};
use crate::peers::challenge_is_for;

impl TransactionManager {
    /// The challenge inside `body`, if it is one for this node: nothing but a UUID is ever decrypted for a peer.
    pub(crate) fn prove_key(&self, body: &Bytes) -> Result<Option<String>, Error> {
        let payload = PayloadCodec::Legacy.decode(body)?;
        let Some(own) = payload.recipient_keys.first() else { return Err(Error::NotListed) };
        let keys = self.keys()?;
        let message = open::open(keys.ring(), &payload, own)
            .map_err(|error| Error::from(error).unless_incomplete(&keys))?;
        let text = String::from_utf8(message).ok();
        let is_ours = |text: &String| {
            uuid::Uuid::parse_str(text).is_ok_and(|asked| challenge_is_for(asked, self.peers.identity()))
        };
        Ok(text.filter(is_ours))
    }
}
