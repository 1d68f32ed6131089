//! Payloads of a node in PostgreSQL: the node waits for the database's owner, keeps its payloads in the database, reports which clients
//! the server accepts, and serves while the CA of its certificate is replaced and while it has several pods.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::{Kind, condition};
use tessera_e2e::fleet::{Fleet, Ledger, NETWORK};
use tessera_e2e::postgres::{HOST, Postgres};
use tessera_e2e::wait;

use crate::checklist::line;
use crate::replicas;

/// The node's name, and the role of its login: the common name of its certificate.
const NODE: &str = "ledgerpg";
const DATABASE: &str = "payloads";
const PASSWORD: &str = "a-password-that-no-rule-of-the-server-asks-for";
/// Each phase of a rollover takes the kubelet's period, and a slow machine more.
const ROLLED: Duration = Duration::from_mins(10);

#[tokio::test]
async fn payloads_in_postgres() -> Result<()> {
    let fleet = Fleet::prepare("e2e-database").await?;
    let postgres = Postgres::of(&fleet.cluster);
    let database = Database { fleet: &fleet, postgres: &postgres };
    database.prepare().await?;
    database.the_node_waits_for_its_owner().await?;
    let ledgers = (fleet.ledger(NODE).await?, fleet.ledger("b").await?);
    let hashes = database.keeps_payloads_and_has_no_volume(&ledgers).await?;
    database.is_tried_as_a_stranger().await?;
    database.outlives_a_new_ca(&ledgers).await?;
    replicas::scale_rotate_and_roll(&fleet, NODE, &ledgers).await?;
    for hash in &hashes {
        ensure!(ledgers.0.payload(hash).await? == b"in a table", "{hash}");
    }
    fleet.done().await
}

struct Database<'a> {
    fleet: &'a Fleet,
    postgres: &'a Postgres,
}

impl Database<'_> {
    /// Creates the database, what its owner hands to the network's team, and the fleet.
    async fn prepare(&self) -> Result<()> {
        self.postgres.create(NODE, DATABASE).await?;
        let connection = format!("postgresql://{NODE}:{PASSWORD}@{HOST}/{DATABASE}");
        let secret = json!({"metadata": {"name": "database"}, "stringData": {"connection": connection}});
        self.fleet.cluster.apply(Kind::Secret, &self.fleet.namespace, &secret).await?;
        let ca = json!({"metadata": {"name": "database-ca"}, "data": {"ca.crt": self.postgres.ca().await?}});
        self.fleet.cluster.apply(Kind::ConfigMap, &self.fleet.namespace, &ca).await?;
        let mut network = self.fleet.network_manifest();
        network["spec"]["checklist"] = json!({"probeEvery": "10s"});
        // A rollover would await a person's acknowledgement of a client that reads the CAs once.
        network["spec"]["monitoring"] = json!([]);
        self.fleet.cluster.apply(Kind::TesseraNetwork, &self.fleet.namespace, &network).await?;
        self.fleet.set_up_store().await?;
        let mut other = self.fleet.node_manifest("b");
        other["spec"]["clients"][0]["readsTrust"] = "EachTime".into();
        self.fleet.cluster.apply(Kind::TesseraNode, &self.fleet.namespace, &other).await?;
        let mut node = self.fleet.node_manifest(NODE);
        node["spec"]["storage"] = json!({"type": "Postgres", "postgres": {
            "connection": {"type": "SecretRef", "secretRef": {"name": "database", "key": "connection"}},
            "caBundleRef": {"name": "database-ca"},
            "clientCertificate": {"type": "Issued"},
            "egress": [{
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "postgres"}}, "port": 5432,
            }],
        }});
        node["spec"]["clients"][0]["readsTrust"] = "EachTime".into();
        self.fleet.cluster.apply(Kind::TesseraNode, &self.fleet.namespace, &node).await.map(drop)
    }

    /// Ready says why the node is not ready until the server trusts the network's CA; the node then becomes ready without a restart.
    async fn the_node_waits_for_its_owner(&self) -> Result<()> {
        wait::until("the node says that the database refuses it", Duration::from_mins(3), || async {
            let node = self.fleet.node(NODE).await?;
            let (status, _, message) = condition(&node, "Ready").context("no condition")?;
            ensure!(status == "False" && message.contains("the database cannot be used"), "{message}");
            Ok(())
        })
        .await?;
        let before = self.pod().await?;
        self.postgres.trust(&self.network_ca().await?).await?;
        self.fleet.node_ready(NODE).await?;
        ensure!(self.pod().await? == before, "the node was restarted");
        Ok(())
    }

    async fn keeps_payloads_and_has_no_volume(&self, (own, other): &(Ledger, Ledger)) -> Result<[String; 2]> {
        let (key, key_of_b) = (self.fleet.public_key(NODE).await?, self.fleet.public_key("b").await?);
        let sent = own.send(b"in a table", &[key_of_b]).await?;
        let received = other.send(b"in a table", &[key]).await?;
        for (ledger, hash) in [(own, &sent), (own, &received), (other, &sent), (other, &received)] {
            ensure!(ledger.payload(hash).await? == b"in a table", "{hash}");
        }
        let rows = self.postgres.sql(DATABASE, "SELECT count(*) FROM encrypted_transaction").await?;
        // The sample of the node's key is the third row.
        ensure!(rows == "3", "{rows} rows");
        let claims = self.fleet.cluster.list(Kind::PersistentVolumeClaim, &self.fleet.namespace, "").await?;
        let of_node = |claim: &&Value| claim["metadata"]["name"].to_string().contains(NODE);
        ensure!(claims.iter().filter(of_node).count() == 0, "{claims:?}");
        self.fleet.node_condition(NODE, "DataProtected", "Unknown", "InDatabase").await?;
        Ok([sent, received])
    }

    /// The database's owner accepts the role's password alone, and then demands the certificate again.
    async fn is_tried_as_a_stranger(&self) -> Result<()> {
        let id = "MutualTls";
        let judged =
            async |result, reason| line(self.fleet, Kind::TesseraNode, NODE, id, result, reason).await;
        let good = judged("Verified", "Observed").await?;
        ensure!(good["observed"].to_string().contains(&format!("the database at {HOST} refused")), "{good}");
        self.postgres.demand_password(NODE, PASSWORD).await?;
        let bad = judged("Violated", "NoClientCertificate").await;
        self.postgres.demand_certificate(NODE).await?;
        let bad = bad?;
        ensure!(bad["observer"] == "Node" && bad["remedy"].to_string().contains("pg_hba.conf"), "{bad}");
        judged("Verified", "Observed").await?;
        checklist_record::healed(id)
    }

    /// The rollover waits until the node observed that the server trusts the new CA; sends succeed all the time.
    async fn outlives_a_new_ca(&self, (own, other): &(Ledger, Ledger)) -> Result<()> {
        let (before, old) = (self.pod().await?, self.network_ca().await?);
        let (key, key_of_b) = (self.fleet.public_key(NODE).await?, self.fleet.public_key("b").await?);
        let trigger = json!({"spec": {"pki": {"ca": {"rolloverTrigger": 1}}}});
        self.fleet.cluster.edit(Kind::TesseraNetwork, &self.fleet.namespace, NETWORK, &trigger).await?;
        let until = async |what: &str, is_it: &dyn Fn(&Value) -> bool| {
            wait::until(what, ROLLED, || async {
                own.send(b"in a table", std::slice::from_ref(&key_of_b)).await?;
                other.send(b"in a table", std::slice::from_ref(&key)).await?;
                let network =
                    self.fleet.cluster.get(Kind::TesseraNetwork, &self.fleet.namespace, NETWORK).await?;
                let rollover = &network["status"]["rollover"];
                ensure!(is_it(rollover), "{rollover}");
                Ok(())
            })
            .await
        };
        let database = format!("/node/{NODE}");
        until("the rollover waits for the database", &|rollover| {
            rollover["waitingFor"].to_string().contains(&database) && rollover["phase"] == "Retiring"
        })
        .await?;
        let both = format!("{}\n{old}", self.network_ca().await?);
        self.postgres.trust(&both).await?;
        until("the old CA is gone", &Value::is_null).await?;
        ensure!(self.pod().await? == before, "the node was restarted");
        self.fleet.node_ready(NODE).await.map(drop)
    }

    async fn network_ca(&self) -> Result<String> {
        let name = format!("{NETWORK}-ca");
        let bundle = self.fleet.cluster.get(Kind::ConfigMap, &self.fleet.namespace, &name).await?;
        bundle["data"]["ca.crt"].as_str().map(str::to_owned).context("no bundle")
    }

    /// The pod's UID and how often its container was started.
    async fn pod(&self) -> Result<(Value, Value)> {
        let pod =
            self.fleet.cluster.get(Kind::Pod, &self.fleet.namespace, &format!("tessera-{NODE}-0")).await?;
        Ok((pod["metadata"]["uid"].clone(), pod["status"]["containerStatuses"][0]["restartCount"].clone()))
    }
}
