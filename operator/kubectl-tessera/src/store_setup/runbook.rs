//! The runbook of the store's owner: the commands that a setup stands for, and what no setup does. Pure.

use serde_json::Value;
use tessera_crds::api::secret_store::{VaultClientCertificate, VaultClientCertificateType};
use tessera_crds::names;
use tessera_store_objects::Wanted;

/// What a person would type to write `body` at `path`.
pub(super) fn command(path: &str, body: &Value) -> String {
    if let (Some(name), Some(policy)) = (path.strip_prefix("sys/policies/acl/"), body["policy"].as_str()) {
        return format!("vault policy write {name} - <<'EOF'\n{policy}EOF");
    }
    format!("vault write {path} - <<'EOF'\n{body:#}\nEOF")
}

/// What the owner of the store sees to, beyond what a setup writes: each with the line of the checklist that shows it.
/// `network` is the network's name, `shown` the client certificate that its nodes show.
pub(super) fn for_the_owner(
    wanted: &Wanted,
    network: &str,
    shown: Option<&VaultClientCertificate>,
) -> String {
    let shown = client_certificate(network, shown);
    let (mount, address) = (&wanted.kv_mount, &wanted.address);
    let cidrs = match wanted.source_cidrs.as_slice() {
        [] => "spec.secretStore.vault.sourceCIDRs is empty: set it to the networks of the nodes' and the operator's pods, then run this again"
            .to_owned(),
        cidrs => format!(
            "logins are bound to {}; when the pods' networks change, change spec.secretStore.vault.sourceCIDRs and run this again",
            cidrs.join(", ")
        ),
    };
    format!(
        "
what the owner of {address} sees to, and the checklist line that shows it
  client certificates (MutualTls): the listener at {address} is for machines and serves nobody without one; people get a listener of
  their own. {shown}
              tls_require_and_verify_client_cert = true
              tls_client_ca_file = \"/vault/client-ca/ca.crt\"
  audit devices (CentralLogging): switch two on before the first key is written, one of them remote. While all of them block,
  the store serves nobody; one that works is enough. Never with log_raw.
              vault audit enable file file_path=/vault/audit/audit.log
              vault audit enable -path=remote socket address=COLLECTOR:PORT socket_type=tcp
  second factor (SecretStoreAccess): each auth method for people (userpass, ldap, oidc, …) needs a login enforcement
              vault write identity/mfa/method/totp issuer=vault
              vault write identity/mfa/login-enforcement/people mfa_method_ids=ID auth_method_accessors=ACCESSOR
  addresses (SecretStoreAccess): {cidrs}
  check-and-set and versions (KeyRotation): required at {mount}/, and no version is deleted by itself
              vault write {mount}/config cas_required=true delete_version_after=0s
  the store's own key (KeyRotation): rotate it on a schedule
              vault operator rotate
  seal (HardwareKeys): a hardware module or a cloud's key service; after `vault operator unseal -migrate` restart each server
  the root token: revoke it when the setup is done; `vault operator generate-root` makes another in need
              vault token revoke -self
  hosts (NoRemoteRoot, NoCoreDumps): no remote root login, swap off, no core dumps; a person states it as a TesseraAttestation"
    )
}

/// Whose certificates the store's listener for machines must accept.
fn client_certificate(network: &str, shown: Option<&VaultClientCertificate>) -> String {
    match shown.map(|shown| (shown.r#type, &shown.secret_ref)) {
        None => "this network shows none: set spec.secretStore.vault.clientCertificate".to_owned(),
        Some((VaultClientCertificateType::SecretRef, Some(secret))) => format!(
            "issue one of the CA below and have it put in Secret {}; renew it there, nodes take it without a restart",
            secret.name
        ),
        Some(_) => format!(
            "install the certificate in ConfigMap {} and restart each server: it reads the CA at its start only",
            names::network::ca_bundle(network)
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store_setup::example::example;

    #[test]
    fn a_command_writes_what_the_step_writes() {
        let role = command("auth/kubernetes/role/r", &json!({"audience": "https://v:8200"}));
        assert_eq!(
            role,
            "vault write auth/kubernetes/role/r - <<'EOF'\n{\n  \"audience\": \"https://v:8200\"\n}\nEOF"
        );
        let policy = command("sys/policies/acl/p", &json!({"policy": "# p\npath \"a\" {}\n"}));
        assert_eq!(policy, "vault policy write p - <<'EOF'\n# p\npath \"a\" {}\nEOF");
    }

    #[test]
    fn the_runbook_speaks_of_this_network() {
        let text = for_the_owner(&example(), "org-a", None);
        for part in
            ["https://vault.vault.svc:8200", "10.244.0.0/16", "vault write secret/config cas_required=true"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let open = for_the_owner(&Wanted { source_cidrs: Vec::new(), ..example() }, "org-a", None);
        assert!(
            open.contains("sourceCIDRs is empty")
                && open.contains("set spec.secretStore.vault.clientCertificate")
        );
        let shown = |json| for_the_owner(&example(), "org-a", Some(&serde_json::from_value(json).unwrap()));
        assert!(shown(json!({"type": "Issued"})).contains("ConfigMap org-a-ca"));
        let named = shown(json!({"type": "SecretRef", "secretRef": {"name": "vault-client"}}));
        assert!(named.contains("Secret vault-client"), "{named}");
    }
}
