# shellcheck shell=bash
# The local engine: Kubernetes from its Go modules and Debian's containerd, without Docker.
#
# What every engine gives (lib/engine.sh): engine_up, engine_down, engine_status, $PUSH_REGISTRY and $AUDIT_LOG.

LOCAL=$HACK/engine/local
for part in settings process packages network cgroups pki registry control-plane node postgres; do
  # shellcheck source=/dev/null
  . "$LOCAL/$part.sh"
done

# shellcheck disable=SC2034 # the parts use them
engine_build() {
  HYPERKUBE=$(binary hyperkube)
  COREDNS=$(binary coredns)
  NETPOL=$(binary netpol)
  PROVISIONER=$(binary provisioner)
  OUTSIDE_SERVER=$(binary outside)
  put_on_path kubectl "$HYPERKUBE"
}

engine_up() {
  local node
  check_machine
  mkdir -p "$LOG"
  install_packages
  engine_build
  pki_up
  network_up
  registry_up
  daemon outside outside "$OUTSIDE_SERVER" -ports "$OUTSIDE_PORTS"
  say "starting the control plane (about 5 seconds)"
  control_plane_up
  say "starting the nodes ${NODES[*]} (about 10 seconds)"
  for node in "${NODES[@]}"; do node_up "$node"; done
  kubectl apply -f "$LOCAL/manifests/base.yaml" >/dev/null
  sed "s#IMAGE#$(cat "$STATE/images/coredns.digest")#" "$LOCAL/manifests/coredns.yaml" | kubectl apply -f - >/dev/null
  for node in "${NODES[@]}"; do node_ready "$node"; done
  say "waiting for the cluster's DNS (about 5 seconds)"
  kubectl -n kube-system rollout status deployment/coredns --timeout=120s >/dev/null || die "the cluster's DNS does not get ready"
}

engine_down() { # engine_down [--wipe]
  local node
  for node in "${NODES[@]}"; do node_down "$node"; done
  stop_daemons scheduler controller-manager apiserver etcd outside registry
  network_down
  # containerd's shims make these for their sockets; another containerd's are not empty.
  rmdir /run/containerd/s /run/containerd/runc/k8s.io /run/containerd/runc /run/containerd 2>/dev/null || true
}

# What was on the nodes' disks for etcd's sake goes with it: a new cluster's kubelets find none of the old one's pods. Images and
# volumes stay, and so do the bridge and the registry, which are no part of the cluster.
engine_lose() {
  local node directory
  for node in "${NODES[@]}"; do
    node_down "$node"
    directory=$(node_directory "$node")
    # node_down ends when nothing is mounted below; were a volume still, its content would be deleted through it.
    rm -rf --one-file-system "$directory"/{kubelet,pods}
    host_namespace_down "$node"
  done
  stop_daemons scheduler controller-manager apiserver etcd
  rm -rf "$STATE/etcd" "$PKI" "$KUBECONFIG_FILE"
}

engine_status() {
  local record
  for record in "$RECORDS"/*; do
    [[ -e $record ]] || continue
    recorded_pid "${record##*/}" >/dev/null || printf 'DEAD       %s (log %s)\n' "${record##*/}" "$LOG/${record##*/}.log"
  done
}

engine_running() { recorded_pid apiserver >/dev/null 2>&1; }
