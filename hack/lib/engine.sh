# shellcheck shell=bash
# Which engine makes the cluster, and what every engine gives.
#
# An engine is a folder under hack/engine with an engine.sh that defines
#   engine_up       a ready cluster: two nodes or more, NetworkPolicy enforced, DNS, the StorageClasses `standard` (Delete)
#                   and `standard-retain` (Retain), a registry, a host outside the cluster, $KUBECONFIG_FILE, and a
#                   kubectl in $STATE/bin
#   engine_down     nothing of it runs any more
#   engine_lose     nothing of it runs any more, and all that etcd knew is deleted; volumes remain (local engine only)
#   engine_running  whether it runs
#   engine_status   lines about what is wrong, if anything
#   outside_netns   prints the file of the network namespace of the host outside the cluster
#   outside_address prints the address of that host in the network of the machines
#   postgres_image  prints an image with PostgreSQL and a shell
#   PUSH_REGISTRY   where this machine pushes what pods pull as localhost:5001/…
#   AUDIT_LOG       the API server's audit log, as a file of this machine
# Everything above (hack/platform, hack/image, the chart) is the same for all engines, and so are all tests but those that look at
# disks and at the audit log.

choose_engine() {
  if [[ -n ${TESSERA_ENGINE:-} ]]; then
    printf '%s' "$TESSERA_ENGINE"
  elif [[ -f $STATE/engine ]]; then
    cat "$STATE/engine" # whatever was brought up last is what `status` and `down` mean
  elif container_engine >/dev/null; then
    printf kind
  else
    printf local
  fi
}

# container_engine: docker or podman, whichever answers.
container_engine() {
  local candidate
  for candidate in docker podman; do
    if command -v "$candidate" >/dev/null && timeout 10 "$candidate" info >/dev/null 2>&1; then
      printf '%s' "$candidate"
      return
    fi
  done
  return 1
}

load_engine() {
  ENGINE=$(choose_engine)
  [[ $ENGINE == kind || $ENGINE == local ]] || die "TESSERA_ENGINE is '$ENGINE'; it must be kind or local"
  # shellcheck source=/dev/null
  . "$HACK/engine/$ENGINE/engine.sh"
}

# The cluster's own kubectl and kubeconfig, whatever else the caller's environment has.
kubectl() { "$STATE/bin/kubectl" --kubeconfig="$KUBECONFIG_FILE" "$@"; }

need_running_cluster() {
  engine_running || die "no cluster runs; start one with hack/cluster up"
}
