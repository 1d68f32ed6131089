//! A partner's node on the host outside of the cluster: the release binary, with a certificate authority and a configuration as their
//! people would have written it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use serde_json::{Value, json};
use tempfile::TempDir;
use tessera_e2e::wait;
use tokio::process::{Child, Command};

const TRUST_DOMAIN: &str = "partner.example";
const P2P: u16 = 9444;
const Q2T: u16 = 9445;

/// What the partner is given of our network.
pub(super) struct Ours<'a> {
    /// Where their DNS record leads.
    pub(super) address: &'a str,
    pub(super) host: &'a str,
    pub(super) url: &'a str,
    pub(super) ca: &'a str,
    pub(super) trust_domain: &'a str,
    /// The name by which we dial the partner.
    pub(super) partner_host: &'a str,
}

/// The partner's node; it ends with this value.
pub(super) struct Partner {
    pub(super) ca: String,
    pub(super) trust_domain: &'static str,
    pub(super) host: String,
    pub(super) address: String,
    pub(super) port: u16,
    /// In base64.
    pub(super) public_key: String,
    ledger: reqwest::Client,
    _node: Child,
    _files: TempDir,
}

impl Partner {
    /// Starts it, and waits until it serves its ledger.
    pub(super) async fn start(ours: &Ours<'_>) -> Result<Self> {
        let address = var("TESSERA_OUTSIDE_ADDRESS")?;
        let files = tempfile::tempdir()?;
        let authority = authority()?;
        let node = format!("spiffe://{TRUST_DOMAIN}/node/b");
        let names = vec![ours.partner_host.to_owned(), address.clone()];
        write_leaf(&authority, &node, names, &files.path().join("tls"))?;
        let ledger = format!("spiffe://{TRUST_DOMAIN}/client/b.ledger");
        write_leaf(&authority, &ledger, Vec::new(), &files.path().join("ledger"))?;
        let key = tessera_enclave::KeyPair::generate().context("a key")?;
        let public_key = key.public().to_string();
        let private_key = STANDARD.encode(key.private().expose());
        let config = config(
            files.path(),
            ours,
            &address,
            &json!({"privateKey": private_key, "publicKey": public_key}),
        );
        write_json(&files.path().join("tessera.json"), &config)?;
        write_json(
            &files.path().join("dynamic.json"),
            &json!({"version": 1, "peers": [], "clients": [ledger], "monitoring": [], "keys": []}),
        )?;
        write_json(
            &files.path().join("partners.json"),
            &json!({"version": 1, "partners": [{
                "name": "org-a", "trustDomain": ours.trust_domain, "dnsNames": [ours.host],
                "urls": [ours.url], "caBundle": ours.ca,
            }]}),
        )?;
        std::fs::write(
            files.path().join("hosts"),
            format!("127.0.0.1 localhost\n{} {}\n", ours.address, ours.host),
        )?;
        let partner = Self {
            ca: authority.pem(),
            trust_domain: TRUST_DOMAIN,
            host: ours.partner_host.to_owned(),
            ledger: client(&authority.pem(), &files.path().join("ledger"))?,
            address,
            port: P2P,
            public_key,
            _node: run(files.path())?,
            _files: files,
        };
        wait::until("the partner's node serving its ledger", Duration::from_mins(1), || async {
            let answer = partner.ledger.get(partner.url("/upcheck")).send().await?;
            ensure!(answer.status() == 200, "{}", answer.status());
            Ok(())
        })
        .await?;
        Ok(partner)
    }

    /// Sends to a recipient, once that is known (404) and reached (410); gives the hash back.
    pub(super) async fn send(&self, payload: &[u8], to: &str) -> Result<String> {
        let answer = wait::until("our node known to the partner", Duration::from_mins(2), || async {
            let answer = self.post(payload, to).await?;
            ensure!(![404, 410].contains(&answer.status().as_u16()), "{}", answer.status());
            Ok(answer)
        })
        .await?;
        ensure!(answer.status() == 201, "a send was answered with {}", answer.status());
        let body: Value = serde_json::from_str(&answer.text().await?)?;
        body["key"].as_str().map(str::to_owned).context("no key in the answer")
    }

    /// The status that a send is answered with.
    pub(super) async fn try_send(&self, payload: &[u8], to: &str) -> Result<u16> {
        Ok(self.post(payload, to).await?.status().as_u16())
    }

    /// The payload of a hash.
    pub(super) async fn payload(&self, hash: &str) -> Result<Vec<u8>> {
        let escaped = hash.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
        let answer = self.ledger.get(self.url(&format!("/transaction/{escaped}"))).send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        let body: Value = serde_json::from_str(&answer.text().await?)?;
        Ok(STANDARD.decode(body["payload"].as_str().context("no payload in the answer")?)?)
    }

    async fn post(&self, payload: &[u8], to: &str) -> Result<reqwest::Response> {
        let body = json!({"payload": STANDARD.encode(payload), "to": [to]}).to_string();
        let request = self.ledger.post(self.url("/send")).header("Content-Type", "application/json");
        Ok(request.body(body).send().await?)
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}:{Q2T}{path}", self.address)
    }
}

fn var(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run the tests with hack/e2e"))
}

fn config(files: &Path, ours: &Ours<'_>, address: &str, key: &Value) -> Value {
    let path = |file: &str| files.join(file).display().to_string();
    let server = |app: &str, host: &str, port: u16| {
        json!({
            "app": app,
            "serverAddress": format!("https://{host}:{port}"),
            "bindingAddress": format!("https://{address}:{port}"),
            "sslConfig": {"tls": "STRICT"},
            "properties": {"partyInfoInterval": "1000"},
        })
    };
    json!({
        "mode": "tessera",
        "serverConfigs": [server("P2P", ours.partner_host, P2P), server("Q2T", address, Q2T)],
        "peer": [],
        "keys": {"keyData": [key]},
        "tesseraNode": {
            "version": 1,
            "identity": {"trustDomain": TRUST_DOMAIN, "name": "b"},
            "dynamicConfig": path("dynamic.json"),
            "nodeTls": path("tls"),
            "storage": {"directory": path("data")},
            "probeSocket": path("probe.sock"),
        },
    })
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    Ok(std::fs::write(path, value.to_string())?)
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "partner network CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn write_leaf(
    authority: &CertifiedIssuer<'static, KeyPair>,
    uri: &str,
    names: Vec<String>,
    directory: &Path,
) -> Result<()> {
    let mut params = CertificateParams::new(names)?;
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    let usages = [rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.extended_key_usages = usages.into();
    let key = KeyPair::generate()?;
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("tls.crt"), params.signed_by(&key, authority)?.pem())?;
    std::fs::write(directory.join("tls.key"), key.serialize_pem())?;
    Ok(std::fs::write(directory.join("ca.crt"), authority.pem())?)
}

fn client(ca: &str, directory: &Path) -> Result<reqwest::Client> {
    let pem = [std::fs::read(directory.join("tls.crt"))?, std::fs::read(directory.join("tls.key"))?].concat();
    Ok(reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes())?])
        .identity(reqwest::Identity::from_pem(&pem)?)
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()?)
}

/// In the network namespace of that host, with a file of hosts of its own.
fn run(files: &Path) -> Result<Child> {
    const AS_HOST: &str =
        "mount --bind \"$0/hosts\" /etc/hosts && exec \"$1\" run --configfile \"$0/tessera.json\"";
    let binary = PathBuf::from(var("TESSERA_NODE_BINARY")?);
    let log = std::fs::File::create(files.join("log"))?;
    Ok(Command::new("nsenter")
        .arg(format!("--net={}", var("TESSERA_OUTSIDE_NETNS")?))
        .args(["unshare", "--mount", "--propagation", "private", "sh", "-c", AS_HOST])
        .arg(files)
        .arg(binary)
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?)
}
