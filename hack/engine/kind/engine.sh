# shellcheck shell=bash disable=SC2034 # what an engine gives is used by others
# The kind engine: nodes as containers of Docker or Podman. Contract in lib/engine.sh.

KIND_CLUSTER=tessera
KIND_REGISTRY=tessera-registry
KIND_OUTSIDE=tessera-outside
# The nodes' image is the one that the release of kind pinned in hack/engine/go/kind names by digest.
REGISTRY_IMAGE=registry:2.8.3
PUSH_REGISTRY=$REGISTRY
AUDIT_LOG=$STATE/audit/audit.log
OUTSIDE_ADDRESSES=(192.0.2.10 169.254.169.254)
OUTSIDE_PORTS=80,443,8080,8200,9000
OCI=$(container_engine) || OCI=''

kind() { KIND_EXPERIMENTAL_PROVIDER=$OCI "$STATE/bin/kind" "$@"; }

engine_running() { [[ -n $OCI ]] && "$OCI" ps --format '{{.Names}}' | grep -qx "$KIND_CLUSTER-control-plane"; }

engine_up() {
  [[ -n $OCI ]] || die "neither Docker nor Podman answers; start one, or use TESSERA_ENGINE=local"
  need curl "install curl"
  need jq "install jq"
  need openssl "install openssl"
  put_on_path kind "$(binary kind)"
  put_on_path kubectl "$(binary kubectl)"
  container "$KIND_REGISTRY" --publish 127.0.0.1:5001:5000 "$REGISTRY_IMAGE"
  if ! kind get clusters | grep -qx "$KIND_CLUSTER"; then
    mkdir -p "${AUDIT_LOG%/*}"
    # Made here, it belongs to this user; the API server's would be root's alone.
    touch "$AUDIT_LOG"
    kind_configuration >"$STATE/kind.yaml"
    long_step "creating the kind cluster '$KIND_CLUSTER' (1 to 3 minutes; its node image is fetched first)" \
      "$STATE/log/kind.log" kind create cluster --name "$KIND_CLUSTER" \
      --config "$STATE/kind.yaml" --kubeconfig "$KUBECONFIG_FILE" --wait 180s
  fi
  local node
  for node in $(kind get nodes --name "$KIND_CLUSTER"); do "$OCI" start "$node" >/dev/null; done
  connect "$KIND_REGISTRY"
  registry_name_on_nodes
  outside_host
  kubectl apply -f "$HACK/engine/kind/base.yaml" >/dev/null
  waitfor 'the nodes are Ready' 180 kubectl wait --for=condition=Ready nodes --all --timeout=5s
}

kind_configuration() { sed "s#HACK#$HACK#; s#AUDIT#${AUDIT_LOG%/*}#" "$HACK/engine/kind/kind.yaml"; }

# The official image, pulled by the nodes themselves.
postgres_image() { printf docker.io/library/postgres:17.6; }

# container NAME ARGUMENT…: run it, or start it again.
container() {
  local name=$1
  "$OCI" start "$name" >/dev/null 2>&1 || "$OCI" run --detach --restart=always --name "$@" >/dev/null
}

connect() { "$OCI" network connect kind "$1" 2>/dev/null || true; } # fails when it is connected

# As kind's own recipe for a local registry: on the nodes the name localhost:5001 leads to the registry's container.
registry_name_on_nodes() {
  local node directory=/etc/containerd/certs.d/$REGISTRY
  for node in $(kind get nodes --name "$KIND_CLUSTER"); do
    "$OCI" exec "$node" mkdir -p "$directory"
    printf '[host."http://%s:5000"]\n' "$KIND_REGISTRY" | "$OCI" exec -i "$node" cp /dev/stdin "$directory/hosts.toml"
  done
}

# A container that answers on the addresses of the world, and a route to it on each node.
outside_host() {
  local node address outside node_image
  push_image outside /outside "$(binary outside)=/outside"
  container "$KIND_OUTSIDE" --user 0 --network kind "$(cat "$STATE/images/outside.digest")" -ports "$OUTSIDE_PORTS"
  outside=$(outside_address)
  node_image=$("$OCI" inspect --format '{{.Config.Image}}' "$KIND_CLUSTER-control-plane")
  for address in "${OUTSIDE_ADDRESSES[@]}"; do
    # The container has no tools of its own: a node's image, in its network namespace, has `ip`.
    "$OCI" run --rm --cap-add NET_ADMIN --network "container:$KIND_OUTSIDE" --entrypoint ip "$node_image" \
      address replace "$address/32" dev lo
    for node in $(kind get nodes --name "$KIND_CLUSTER"); do
      "$OCI" exec "$node" ip route replace "$address/32" via "$outside"
    done
  done
}

outside_netns() { printf '/proc/%s/ns/net' "$("$OCI" inspect --format '{{.State.Pid}}' "$KIND_OUTSIDE")"; }
outside_address() { "$OCI" inspect --format '{{.NetworkSettings.Networks.kind.IPAddress}}' "$KIND_OUTSIDE"; }

# The cluster's data lies in its containers. Without --wipe they are stopped, and `up` starts them again.
engine_down() {
  [[ -n $OCI ]] || die "neither Docker nor Podman answers; the cluster is theirs"
  if [[ ${1:-} == --wipe ]]; then
    kind delete cluster --name "$KIND_CLUSTER" --kubeconfig "$KUBECONFIG_FILE"
    "$OCI" rm --force --volumes "$KIND_REGISTRY" "$KIND_OUTSIDE" >/dev/null
  else
    # shellcheck disable=SC2046 # one argument for each node
    "$OCI" stop $(kind get nodes --name "$KIND_CLUSTER") "$KIND_REGISTRY" "$KIND_OUTSIDE" >/dev/null
  fi
}

engine_status() { "$OCI" ps --all --filter status=exited --filter "name=^$KIND_CLUSTER-" --format 'DEAD       {{.Names}}'; }
