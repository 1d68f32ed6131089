# shellcheck shell=bash
# The Vault of the cluster, up to what a store team hands over: initialised, unsealed, the Kubernetes auth plug-in
# registered, two audit devices on. Engines, policies and roles are what `kubectl tessera store-setup` makes.
#
# A script that sources this may also use vault_cli, or vault_forward … vault_forward_close around several calls.
# The unseal key and the root token stay in files of mode 600 outside Kubernetes, and pass to programs by file or
# environment, never by argument: arguments are readable by every process of the machine.

VAULT_STATE=$STATE/vault
VAULT_ADDRESS=https://vault.vault.svc:8200 # the address nodes use: it asks for a client certificate
VAULT_CLIENT_TLS=$VAULT_STATE/client       # ca.crt, and tls.crt and tls.key for those whom the store's owner lets in
VAULT_FORWARD_PID='' VAULT_FORWARD_PORT='' VAULT_FORWARD_LOG=''

vault_up() {
  local vault plugin
  vault=$(binary vault)
  plugin=$(binary vault-plugin-auth-kubernetes)
  put_on_path vault "$vault"
  push_image audit-receiver /audit-receiver "$(binary audit-receiver)=/audit-receiver"
  push_image vault /bin/vault "$vault=/bin/vault" "$plugin=/plugins/vault-plugin-auth-kubernetes"
  say "starting Vault (about 10 seconds)"
  server_certificate "$VAULT_STATE" vault "DNS:vault,DNS:vault.vault,DNS:vault.vault.svc,DNS:vault.vault.svc.cluster.local,\
DNS:vault-0.vault-internal.vault.svc,DNS:vault-0.vault-internal.vault.svc.cluster.local,DNS:localhost,IP:127.0.0.1"
  client_certificate "$VAULT_CLIENT_TLS" vault-client
  vault_objects
  vault_await_server
  vault_initialise
  vault_unseal
  vault_offer "$(sha256sum <"$plugin" | cut -d' ' -f1)"
  say "Vault is unsealed at $VAULT_ADDRESS"
}

# --- objects -----------------------------------------------------------------------------------------------------

vault_objects() {
  local labels='pod-security.kubernetes.io/enforce=restricted'
  {
    kubectl create namespace vault --dry-run=client -o yaml | kubectl label --local -f - "$labels" -o yaml
    echo ---
    kubectl create configmap vault-ca -n vault --from-file=ca.crt="$VAULT_STATE/ca.crt" --dry-run=client -o yaml
    echo ---
    kubectl create configmap vault-client-ca -n vault --from-file=ca.crt="$VAULT_CLIENT_TLS/ca.crt" --dry-run=client -o yaml
    echo ---
    kubectl create secret tls vault-tls -n vault --cert="$VAULT_STATE/tls.crt" --key="$VAULT_STATE/tls.key" \
      --dry-run=client -o yaml
    echo ---
    sed "s#AUDIT_IMAGE#$(cat "$STATE/images/audit-receiver.digest")#" "$HACK/platform/vault-audit.yaml"
    echo ---
    sed "s#IMAGE#$(cat "$STATE/images/vault.digest")#" "$HACK/platform/vault.yaml"
  } | kubectl apply -f - >/dev/null
}

vault_await_server() {
  waitfor 'the pod vault-0 is made from what was applied' 90 vault_pod_is_current
  # Not Ready: it is sealed. Running is enough for what follows.
  kubectl -n vault wait --for='jsonpath={.status.containerStatuses[0].state.running}' pod/vault-0 --timeout=180s >/dev/null ||
    die "Vault does not start; see kubectl -n vault describe pod vault-0"
  vault_forward
  waitfor 'Vault answers' 60 vault_seal_status
}

vault_pod_is_current() {
  local wanted
  wanted=$(kubectl -n vault get statefulset vault -o json |
    jq -er 'select(.metadata.generation == .status.observedGeneration) | .status.updateRevision') || return
  [[ $(kubectl -n vault get pod vault-0 -o 'jsonpath={.metadata.labels.controller-revision-hash}') == "$wanted" ]]
}

# --- handing over ------------------------------------------------------------------------------------------------

vault_seal_status() { vault_request GET sys/seal-status; }

# vault_request METHOD PATH [FILE]: Vault's HTTP API through the open forward, without a token.
vault_request() {
  local body=()
  [[ -z ${3:-} ]] || body=(--data-binary "@$3")
  curl -fsS --max-time 30 --cacert "$VAULT_STATE/ca.crt" --request "$1" "${body[@]}" \
    "https://127.0.0.1:$VAULT_FORWARD_PORT/v1/$2"
}

vault_initialise() {
  local answer=$VAULT_STATE/init.json request=$VAULT_STATE/request.json
  [[ $(vault_seal_status | jq .initialized) == false ]] || {
    [[ -s $VAULT_STATE/root-token ]] || die "Vault is initialised, but $VAULT_STATE/root-token is lost; hack/cluster down --wipe starts anew"
    return 0
  }
  say "initialising Vault with one key share; the key and the root token go to $VAULT_STATE"
  (
    umask 077
    printf '{"secret_shares": 1, "secret_threshold": 1}' >"$request"
    vault_request POST sys/init "$request" >"$answer"
    jq '{key: .keys_base64[0]}' "$answer" >"$VAULT_STATE/unseal-key.json"
    jq -j .root_token "$answer" >"$VAULT_STATE/root-token"
    rm "$answer" "$request"
  )
}

# Succeeds at once when it is not sealed, so that a restarted Vault is opened by the same command.
vault_unseal() {
  vault_forward
  waitfor 'Vault answers' 60 vault_seal_status
  if [[ $(vault_seal_status | jq .sealed) == true ]]; then
    vault_request POST sys/unseal "$VAULT_STATE/unseal-key.json" >/dev/null
  fi
  # 200 is active; just after unsealing it is still a standby.
  waitfor 'Vault is active' 60 vault_request GET sys/health
}

# vault_offer SHA256-OF-PLUGIN: what every tenant may then use. Registered under its plain name too, so that
# `vault auth enable kubernetes` works as on any Vault.
vault_offer() {
  local name devices
  for name in kubernetes vault-plugin-auth-kubernetes; do
    [[ $(vault_cli plugin info -field=sha256 auth "$name" 2>/dev/null) == "$1" ]] ||
      vault_cli plugin register -sha256="$1" -command=vault-plugin-auth-kubernetes auth "$name" >/dev/null
  done
  devices=$(vault_cli audit list -format=json 2>/dev/null || true)
  [[ $devices == *'"stdout/"'* ]] || vault_cli audit enable -path=stdout file file_path=stdout >/dev/null
  # The second, on another pod (tried: Vault goes on, also over a restart, while the receiver is away and the first one writes). Vault
  # connects when it is enabled.
  if [[ $devices != *'"remote/"'* ]]; then
    kubectl -n vault rollout status deployment/vault-audit --timeout=120s >/dev/null ||
      die "the receiver of Vault's audit records does not get ready; see kubectl -n vault describe deployment vault-audit"
    waitfor "Vault's audit records reach vault-audit" 60 vault_cli audit enable -path=remote socket \
      address=vault-audit.vault.svc:9090 socket_type=tcp write_timeout=500ms
  fi
  # A new engine requires it as store-setup makes it; one of an earlier store-setup does not, and all who write there use it.
  if vault_cli secrets list -format=json | jq -e 'has("secret/")' >/dev/null; then
    vault_cli write secret/config cas_required=true >/dev/null
  fi
}

# vault_client_secret NAMESPACE: gives a network's namespace the certificate that its nodes show the store, Secret vault-client.
vault_client_secret() {
  kubectl create secret tls vault-client -n "$1" --cert="$VAULT_CLIENT_TLS/tls.crt" --key="$VAULT_CLIENT_TLS/tls.key" \
    --dry-run=client -o yaml | kubectl apply -f - >/dev/null
}

# vault_state: one word and the address, for people.
vault_state() {
  local ready
  ready=$(kubectl -n vault get pod vault-0 -o 'jsonpath={.status.containerStatuses[0].ready}' 2>/dev/null) || ready=absent
  case $ready in
    true) printf 'unsealed at %s' "$VAULT_ADDRESS" ;;
    false) printf 'sealed or starting; open it with hack/vault unseal' ;;
    *) printf 'absent; hack/cluster up makes it' ;;
  esac
}

# --- speaking to it ----------------------------------------------------------------------------------------------

# vault_forward: a free port of this machine to the pod, in $VAULT_FORWARD_PORT, closed when the script ends.
vault_forward() {
  if [[ -n $VAULT_FORWARD_PID ]] && kill -0 "$VAULT_FORWARD_PID" 2>/dev/null; then return; fi
  VAULT_FORWARD_LOG=$(mktemp)
  vault_forward_keep >"$VAULT_FORWARD_LOG" 2>&1 </dev/null 9>&- &
  VAULT_FORWARD_PID=$!
  trap vault_forward_close EXIT
  waitfor 'the port-forward to Vault opens' 30 vault_forward_port
  VAULT_FORWARD_PORT=$(vault_forward_port)
}

vault_forward_port() {
  grep -m1 '^Forwarding from' "$VAULT_FORWARD_LOG" | sed 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/'
}

# One broken connection ends a port-forward as a whole, so it is opened again on the port that it had, for as long as the
# script lives that wants it ($$ is the script, also in here). The pause is for a pod that is away: no spinning meanwhile.
vault_forward_keep() {
  local child='' port=''
  trap '[[ -z $child ]] || kill "$child" 2>/dev/null; exit 0' TERM
  while kill -0 $$ 2>/dev/null; do
    "$STATE/bin/kubectl" --kubeconfig="$KUBECONFIG_FILE" -n vault port-forward pod/vault-0 "$port:8210" --address=127.0.0.1 &
    child=$!
    wait "$child" || true
    port=$(vault_forward_port || true)
    sleep 0.2
  done
}

vault_forward_close() {
  [[ -n $VAULT_FORWARD_PID ]] || return 0
  kill "$VAULT_FORWARD_PID" 2>/dev/null || true
  wait "$VAULT_FORWARD_PID" 2>/dev/null || true
  rm -f "$VAULT_FORWARD_LOG"
  VAULT_FORWARD_PID=''
}

# vault_cli ARGUMENT…: Vault's own command line as root.
vault_cli() {
  vault_forward
  VAULT_ADDR=https://127.0.0.1:$VAULT_FORWARD_PORT VAULT_CACERT=$VAULT_STATE/ca.crt \
    VAULT_TOKEN=$(cat "$VAULT_STATE/root-token") "$STATE/bin/vault" "$@"
}
