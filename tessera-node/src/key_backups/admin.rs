//! What the operator asks the admin port about backups and restores. Bodies are bounded, and so is the work for each.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tessera_enclave::PublicKey;
use tessera_node_api::key_backup::{CheckResult, CustodyProof, MAX_BODY_BYTES, RestoredKeys, SealedKeys};

use super::custody;
use crate::admin::AdminApi;
use crate::http::media::{self, Media};
use crate::http::problem::Problem;
use crate::http::reply::{self, Reply, ReplyBody};
use crate::http::router::Call;
use crate::keyring::Keys;
use crate::tasks;

impl AdminApi {
    /// The ciphertext of every version in memory that is sealed.
    pub(crate) async fn key_backups(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let backups = self.keys()?.backups();
        call.reserve_answer(backups.iter().map(|backup| backup.bytes()).sum()).await?;
        let keys = backups.iter().map(|backup| backup.sealed().clone()).collect();
        let body = json(&SealedKeys { keys })?;
        let hold = call.hold(body.len());
        Ok(reply::ok(JSON, ReplyBody::octets(body, hold)))
    }

    /// Judges a custodian's proof: an HMAC for each version in memory, however many answers were sent.
    pub(crate) async fn prove_custody(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let proof: CustodyProof = body(&mut call).await?;
        let keys = self.keys()?;
        let custodian: String = proof.custodian.chars().take(custody::MAX_NAME).collect();
        let bytes = proof.answers.len() * BYTES_OF_ANSWER;
        let judged = tasks::compute(bytes, move || judge(&proof, &keys)).await;
        let result = judged.ok_or_else(Problem::unexplained)?;
        tracing::info!(custodian, accepted = result.accepted, message = result.message, "proof of custody");
        answer(&result)
    }

    /// Takes keys that custodians bring back.
    pub(crate) async fn restore_keys(&self, mut call: Call<'_>) -> Result<Reply, Problem> {
        let keys: RestoredKeys = body(&mut call).await?;
        let result =
            self.0.restores.bring(keys).await.map_err(|error| Problem::unavailable(error.to_string()))?;
        tracing::info!(accepted = result.accepted, message = result.message, "keys brought back");
        answer(&result)
    }

    /// Before there are keys nothing can be said of them: the operator asks again.
    fn keys(&self) -> Result<Arc<Keys>, Problem> {
        let keys = self.0.keys.borrow().clone();
        keys.ok_or_else(|| Problem::unavailable("the node's keys are not in memory yet"))
    }
}

const JSON: &str = "application/json";
/// Of an answer in JSON, roughly.
const BYTES_OF_ANSWER: usize = 128;

fn judge(proof: &CustodyProof, keys: &Keys) -> CheckResult {
    let pair = |public: &str| keys.ring().pair(&public.parse::<PublicKey>().ok()?).ok();
    let status = keys.base_status().iter();
    custody::judge(
        proof,
        status.filter_map(|key| Some((key.name.as_str(), key.version, pair(&key.public_key)?))),
    )
}

/// An error says where it is wrong, and never what stands there.
async fn body<T: DeserializeOwned>(call: &mut Call<'_>) -> Result<T, Problem> {
    media::content(&call.request.headers, &[Media::Json])?;
    let bytes = call.body(MAX_BODY_BYTES as u64).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::malformed(format!(
            "the body is not what is asked for: line {}, column {}",
            error.line(),
            error.column()
        ))
    })
}

fn answer(result: &CheckResult) -> Result<Reply, Problem> {
    Ok(reply::ok(JSON, json(result)?))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(|error| Problem::internal(error.to_string()))
}
