//! `kubectl tessera backup confirm`: proves that a custodian's copy opens.

use tessera_backup::custody::{self, Challenge};
use tessera_backup::{BackupFile, Identity};
use tessera_crds::api::key_backup::{BackupAnswer, NodeRef};
use tessera_crds::{TesseraBackupProof, TesseraBackupProofSpec, TesseraNode};

use super::args::BackupConfirm;
use super::{custodian, outcome};
use crate::cluster::Cluster;

/// Proves custody, or prints the proof.
pub(crate) async fn run(args: &BackupConfirm) -> anyhow::Result<()> {
    let file = custodian::backup(&args.file)?;
    let identity = custodian::identity(&args.identity)?;
    if let Some(challenge) = &args.challenge {
        let proof = proof(&file, &identity, &args.custodian, challenge)?;
        print!("{}", serde_yaml::to_string(&proof)?);
        eprintln!("create it where the cluster is reached: kubectl create -f FILE");
        return Ok(());
    }
    let target = args.target.or_namespace(&file.namespace);
    let cluster = Cluster::connect(&target).await?;
    let node = cluster.node(&file.node).await?;
    let challenge = challenge_of(&node, &args.custodian)?;
    let proof = proof(&file, &identity, &args.custodian, challenge)?;
    let created = cluster.create(&proof).await?;
    println!("{}", outcome::wait(&cluster, &created, |it| it.status.as_ref()).await?);
    Ok(())
}

/// What the node asks, if it asks `custodian`.
fn challenge_of<'n>(node: &'n TesseraNode, custodian: &str) -> anyhow::Result<&'n str> {
    let backup = node.status.as_ref().and_then(|status| status.key_backup.as_ref());
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let Some((backup, challenge)) = backup.and_then(|it| Some((it, it.challenge.as_deref()?))) else {
        anyhow::bail!(
            "TesseraNode {name:?} asks for no proof: its network names no custodians in spec.keyBackup, or the node has not been reached since; see kubectl describe tnode {name}"
        );
    };
    if backup.custodians.iter().any(|known| known.name == custodian) {
        return Ok(challenge);
    }
    let known: Vec<_> = backup.custodians.iter().map(|known| known.name.as_str()).collect();
    anyhow::bail!(
        "the network has no custodian {custodian:?}: spec.keyBackup.recipients has {}",
        known.join(", ")
    )
}

fn proof(
    file: &BackupFile,
    identity: &Identity,
    custodian: &str,
    challenge: &str,
) -> anyhow::Result<TesseraBackupProof> {
    let asked = Challenge { challenge, custodian };
    let answers = custodian::open(file, identity)?.into_iter().map(|(sealed, pair)| {
        let answer = custody::answer(asked, &sealed.name, sealed.version, &pair);
        Ok(BackupAnswer {
            key: answer.key.into(),
            version: i32::try_from(answer.version)?,
            mac: answer.mac.into(),
        })
    });
    let spec = TesseraBackupProofSpec {
        node_ref: NodeRef { name: file.node.as_str().into() },
        custodian: custodian.into(),
        challenge: challenge.into(),
        answers: answers.collect::<anyhow::Result<_>>()?,
    };
    let name = outcome::name(&[&file.node, custodian], spec.answers.iter().map(|answer| answer.mac.as_str()));
    let mut proof = TesseraBackupProof::new(&name, spec);
    proof.metadata.namespace = Some(file.namespace.clone());
    Ok(proof)
}
