//! This crate behind a line protocol, for `hack/oracle/run`, which holds it against Java Tessera's own libraries.
//!
//! ```text
//! request  COMMAND ARGUMENT…     arguments are hexadecimal, `-` is empty, lists are joined by commas
//! answer   ok RESULT…            or: error TEXT
//! ```

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::sync::Arc;

use bytes::Bytes;
use tessera_enclave::keyfile::{ArgonOptions, ArgonVariant, KeyFile};
use tessera_enclave::keyring::DefaultKey;
use tessera_enclave::seal::SealRequest;
use tessera_enclave::security_hash::Binder;
use tessera_enclave::{
    EncodedPayload, KeyPair, KeyRing, Nonce, PayloadCodec, PrivacyMetadata, PrivacyMode, PrivateKey,
    PublicKey, RawTransaction, TxHash, open, raw, seal,
};

type Error = Box<dyn std::error::Error>;
type Results = Result<Vec<Bytes>, Error>;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        match answer(&line?) {
            Ok(results) => {
                write!(out, "ok")?;
                results.iter().try_for_each(|result| write!(out, " {}", to_hex(result)))?;
                writeln!(out)?;
            }
            Err(error) => writeln!(out, "error {error}")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn answer(line: &str) -> Results {
    let mut words = line.split(' ');
    let command = words.next().unwrap_or_default();
    let arguments: Vec<&str> = words.collect();
    match (command, &arguments[..]) {
        ("default", [privates]) => default_key(privates),
        ("recode", [payload]) => Ok(vec![encode(&decode(payload)?)]),
        ("recipient", [payload, recipient]) => {
            Ok(vec![encode(&decode(payload)?.for_recipient(&key(recipient)?)?)])
        }
        ("open", [private, payload]) => open_payload(private, payload),
        ("seal", [private, recipients, mode, exec_hash, affected, message]) => {
            let request = Request { recipients, mode, exec_hash, affected };
            seal_payload(private, &request, message)
        }
        ("invalid", [private, payload, affected]) => invalid(private, payload, affected),
        ("store", [private, message]) => store(private, message),
        ("raw", [private, payload, key, nonce]) => open_raw(private, [payload, key, nonce]),
        ("send", [private, payload, key, nonce, recipients]) => {
            send_signed(private, [payload, key, nonce], recipients)
        }
        ("lock", [private, password]) => lock(private, password),
        ("unlock", [json, password]) => {
            let key = KeyFile::from_json(&from_hex(json)?)?.private_key(Some(&from_hex(password)?))?;
            Ok(vec![Bytes::copy_from_slice(key.expose())])
        }
        _ => Err(format!("no command '{command}' with {} arguments", arguments.len()).into()),
    }
}

fn default_key(privates: &str) -> Results {
    let pairs = privates.split(',').map(pair).collect::<Result<Vec<_>, _>>()?;
    let keys = KeyRing::new(pairs, &DefaultKey::AsJava)?;
    Ok(vec![Bytes::copy_from_slice(keys.default_key().as_bytes())])
}

fn open_payload(private: &str, payload: &str) -> Results {
    let keys = ring(private)?;
    let payload = decode(payload)?;
    let message = open::open(&keys, &payload, keys.default_key())?;
    let hash = payload.hash();
    Ok(vec![message.into(), Bytes::copy_from_slice(hash.as_bytes())])
}

struct Request<'a> {
    recipients: &'a str,
    mode: &'a str,
    exec_hash: &'a str,
    affected: &'a str,
}

fn seal_payload(private: &str, request: &Request<'_>, message: &str) -> Results {
    let keys = ring(private)?;
    let affected = stored(request.affected)?;
    let flag = request.mode.parse()?;
    let request = SealRequest {
        sender: *keys.default_key(),
        recipients: public_keys(request.recipients)?,
        privacy: PrivacyMetadata {
            mode: PrivacyMode::from_flag(flag),
            exec_hash: from_hex(request.exec_hash)?,
            ..PrivacyMetadata::default()
        },
    };
    let payload = seal::seal(&keys, from_hex(message)?[..].into(), request)?;
    let binder = Binder::new(&payload.cipher_text);
    let bound = affected
        .iter()
        .map(|(hash, payload)| Ok((*hash, binder.bind(&keys, payload)?)))
        .collect::<Result<_, Error>>()?;
    Ok(vec![encode(&payload.with_affected(bound))])
}

fn invalid(private: &str, payload: &str, affected: &str) -> Results {
    let (keys, payload, stored) = (ring(private)?, decode(payload)?, stored(affected)?);
    let binder = Binder::new(&payload.cipher_text);
    let mut invalid = Vec::new();
    for (hash, claimed) in &payload.privacy.affected {
        let expected = stored.get(hash).map(|affected| binder.bind(&keys, affected)).transpose()?;
        if expected.as_ref() != Some(claimed) {
            invalid.push(Bytes::copy_from_slice(hash.as_bytes()));
        }
    }
    Ok(invalid)
}

fn store(private: &str, message: &str) -> Results {
    let keys = ring(private)?;
    let raw = raw::store(&keys, from_hex(message)?[..].into(), *keys.default_key())?;
    Ok(vec![raw.encrypted_payload, raw.encrypted_key, Bytes::copy_from_slice(raw.nonce.as_bytes())])
}

fn raw_transaction(keys: &KeyRing, [payload, key, nonce]: [&str; 3]) -> Result<RawTransaction, Error> {
    Ok(RawTransaction {
        encrypted_payload: from_hex(payload)?,
        encrypted_key: from_hex(key)?,
        nonce: Nonce::from_bytes(&from_hex(nonce)?),
        sender: *keys.default_key(),
    })
}

fn open_raw(private: &str, raw: [&str; 3]) -> Results {
    let keys = ring(private)?;
    Ok(vec![raw::open(&keys, &raw_transaction(&keys, raw)?)?.into()])
}

fn send_signed(private: &str, raw: [&str; 3], recipients: &str) -> Results {
    let keys = ring(private)?;
    let request = SealRequest {
        sender: *keys.default_key(),
        recipients: public_keys(recipients)?,
        privacy: PrivacyMetadata::default(),
    };
    Ok(vec![encode(&raw::send_signed(&keys, &raw_transaction(&keys, raw)?, request)?)])
}

fn lock(private: &str, password: &str) -> Results {
    let argon = ArgonOptions { variant: ArgonVariant::I, memory: 64, iterations: 2, parallelism: 2 };
    let key = private_key(private)?;
    let json = KeyFile::locked(&key, &from_hex(password)?, argon)?.to_json();
    Ok(vec![Bytes::copy_from_slice(json.as_bytes())])
}

/// Payloads by their hash, as a store has them.
fn stored(payloads: &str) -> Result<BTreeMap<TxHash, EncodedPayload>, Error> {
    let payloads = payloads.split(',').filter(|payload| *payload != "-").map(decode);
    payloads.map(|payload| payload.map(|payload| (payload.hash(), payload))).collect()
}

fn ring(private: &str) -> Result<KeyRing, Error> {
    Ok(KeyRing::new([pair(private)?], &DefaultKey::AsJava)?)
}

fn pair(private: &str) -> Result<Arc<KeyPair>, Error> {
    Ok(Arc::new(KeyPair::from_private(private_key(private)?)))
}

fn private_key(private: &str) -> Result<PrivateKey, Error> {
    Ok(PrivateKey::from_slice(&from_hex(private)?)?)
}

fn public_keys(keys: &str) -> Result<Vec<PublicKey>, Error> {
    keys.split(',').map(key).collect()
}

fn key(key: &str) -> Result<PublicKey, Error> {
    Ok(PublicKey::from_bytes(&from_hex(key)?)?)
}

fn decode(payload: &str) -> Result<EncodedPayload, Error> {
    Ok(PayloadCodec::Legacy.decode(&from_hex(payload)?)?)
}

fn encode(payload: &EncodedPayload) -> Bytes {
    PayloadCodec::Legacy.encode(payload).into()
}

fn from_hex(text: &str) -> Result<Bytes, Error> {
    if text == "-" { Ok(Bytes::new()) } else { Ok(hex::decode(text)?.into()) }
}

fn to_hex(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { hex::encode(bytes) }
}
