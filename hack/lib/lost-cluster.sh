# shellcheck shell=bash
# What hack/e2e lost-cluster and hack/lib/rebuild-cluster.sh share: a cluster whose operator and logins are those of a Vault
# outside (hack/lib/vault-process.sh).

# admit_cluster: the README's "Vault's login method". Vault has the cluster's API server review tokens, as a ServiceAccount that
# may do nothing else.
admit_cluster() {
  local account=vault-token-review server token
  kubectl create serviceaccount "$account" -n kube-system --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  kubectl create clusterrolebinding "$account" --clusterrole=system:auth-delegator \
    --serviceaccount="kube-system:$account" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  token=$(kubectl create token "$account" -n kube-system --duration=4h)
  server=$(kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.server}')
  vault_process_reviewer "$server" "$token"
}

# install_operator_for_vault: the operator's own NetworkPolicy must let it out to this Vault.
install_operator_for_vault() {
  local host_port=${VAULT_ADDR#https://}
  install_operator --set-json "networkPolicy.store=[{\"to\": [{\"ipBlock\": {\"cidr\": \"${host_port%:*}/32\"}}],
    \"ports\": [{\"protocol\": \"TCP\", \"port\": ${host_port#*:}}]}]"
}
