# shellcheck shell=bash
# A Vault that is no part of the cluster: a process of this machine. It is a development server (in memory, unsealed) with a
# certificate of its own and the Kubernetes auth method at `kubernetes`.
#
#   vault_process_up DIRECTORY ADDRESS   starts it on a port of ADDRESS; exports VAULT_ADDR, VAULT_CACERT and VAULT_TOKEN
#   vault_process_reviewer HOST TOKEN    logins are checked at the API server HOST, with TOKEN; the cluster's CA is the kubeconfig's
#   vault_process_down                   ends it
#   vault_process_lose DIRECTORY         ends one that another script started there, if any
#
# Its files lie in DIRECTORY: the root token in vault-token, the CA in vault-ca.pem, address and pid in files of these names. Needs hack/lib/build.sh.

VAULT_PROCESS_PID=''

vault_process_up() {
  local directory=$1 address=$2 plugin
  plugin=$(binary vault-plugin-auth-kubernetes)
  mkdir "$directory/plugins"
  cp "$plugin" "$directory/plugins/"
  VAULT_ADDR=https://$address:$((30000 + RANDOM % 2000)) VAULT_CACERT=$directory/vault-ca.pem
  (umask 077 && openssl rand -hex 16 >"$directory/vault-token")
  VAULT_TOKEN=$(cat "$directory/vault-token")
  export VAULT_ADDR VAULT_CACERT VAULT_TOKEN
  # Without the caller's locks: a Vault that outlives a killed script must not hold them.
  VAULT_DEV_ROOT_TOKEN_ID=$VAULT_TOKEN HOME=$directory "$(binary vault)" server -dev -dev-tls -dev-no-store-token \
    -dev-tls-cert-dir="$directory" -dev-tls-san="$address" -dev-listen-address="${VAULT_ADDR#https://}" \
    -dev-plugin-dir="$directory/plugins" >"$directory/vault.log" 2>&1 </dev/null 7>&- 9>&- &
  VAULT_PROCESS_PID=$!
  printf %s "$VAULT_PROCESS_PID" >"$directory/pid"
  printf %s "$VAULT_ADDR" >"$directory/address"
  waitfor 'Vault answers' 60 vault_process_answers
  "$(binary vault)" auth enable -path=kubernetes vault-plugin-auth-kubernetes >/dev/null
}

vault_process_answers() { curl -fsS --cacert "$VAULT_CACERT" "$VAULT_ADDR/v1/sys/health"; }

vault_process_reviewer() {
  command kubectl config view --raw --flatten --output json | jq --arg host "$1" --rawfile token <(printf %s "$2") '{
      kubernetes_host: $host,
      kubernetes_ca_cert: (.clusters[0].cluster["certificate-authority-data"] | @base64d),
      token_reviewer_jwt: $token}' | "$(binary vault)" write auth/kubernetes/config - >/dev/null
}

vault_process_down() {
  [[ $VAULT_PROCESS_PID ]] || return 0
  kill "$VAULT_PROCESS_PID" 2>/dev/null || true
  wait "$VAULT_PROCESS_PID" 2>/dev/null || true
  VAULT_PROCESS_PID=''
}

vault_process_lose() { [[ ! -e $1/pid ]] || kill "$(cat "$1/pid")" 2>/dev/null || true; }
