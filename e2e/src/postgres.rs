//! The cluster's PostgreSQL (`hack/platform/postgres.yaml`), spoken to as its administrator.

use anyhow::{Result, ensure};

use crate::client_pod;
use crate::cluster::{Cluster, Kind};

/// The server's namespace.
const NAMESPACE: &str = "postgres";
/// The role whose members log in with a certificate of a client CA, and with nothing else.
const WITH_CERTIFICATE: &str = "tessera";
/// The file with the client CAs, on the server's volume; `pg_reload_conf` makes the server read it again.
const CLIENT_CAS: &str = "/data/client-ca.crt";
/// The server's host and port for the cluster's pods.
pub const HOST: &str = "postgres.postgres.svc:5432";

/// The server.
pub struct Postgres {
    cluster: Cluster,
}

impl Postgres {
    /// The server of this cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone() }
    }

    /// The CA of the server's own certificate.
    pub async fn ca(&self) -> Result<String> {
        let bundle = self.cluster.get(Kind::ConfigMap, NAMESPACE, "postgres-ca").await?;
        Ok(bundle["data"]["ca.crt"].as_str().unwrap_or_default().to_owned())
    }

    /// Runs `sql`; gives its rows, with `|` between columns.
    pub async fn sql(&self, database: &str, sql: &str) -> Result<String> {
        // The image has no `env`, and the folder's name has the version in it.
        let script = format!(
            "exec /usr/lib/postgresql/*/bin/psql -XAtq -v ON_ERROR_STOP=1 -h /tmp -U postgres -d {database} -c \"$0\""
        );
        let command = ["/bin/sh", "-c", &script, sql].map(str::to_owned);
        let output = client_pod::exec(&self.cluster, NAMESPACE, "postgres-0", "postgres", &command).await?;
        ensure!(output.success, "{sql}: {}", output.text.trim());
        Ok(output.text.trim().to_owned())
    }

    /// Makes an empty database and its role `owner`, which logs in with a certificate of that common name.
    pub async fn create(&self, owner: &str, database: &str) -> Result<()> {
        self.sql("postgres", &format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?;
        for role in [WITH_CERTIFICATE, owner] {
            let known = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'");
            if self.sql("postgres", &known).await? == "0" {
                self.sql("postgres", &format!("CREATE ROLE {role} LOGIN")).await?;
            }
        }
        self.demand_certificate(owner).await?;
        self.sql("postgres", &format!("CREATE DATABASE {database} OWNER {owner}")).await.map(drop)
    }

    /// Lets `role` in with a certificate alone.
    pub async fn demand_certificate(&self, role: &str) -> Result<()> {
        self.sql("postgres", &format!("GRANT {WITH_CERTIFICATE} TO {role}")).await.map(drop)
    }

    /// Lets `role` in with its password, and without a certificate.
    pub async fn demand_password(&self, role: &str, password: &str) -> Result<()> {
        self.sql("postgres", &format!("ALTER ROLE {role} PASSWORD '{password}'")).await?;
        self.sql("postgres", &format!("REVOKE {WITH_CERTIFICATE} FROM {role}")).await.map(drop)
    }

    /// Replaces the client CAs, as the database's owner does with the CA of a network.
    pub async fn trust(&self, client_cas: &str) -> Result<()> {
        let lines = format!("SELECT unnest(string_to_array('{client_cas}', E'\\n'))");
        self.sql("postgres", &format!("COPY ({lines}) TO '{CLIENT_CAS}'")).await?;
        self.sql("postgres", "SELECT pg_reload_conf()").await.map(drop)
    }
}
