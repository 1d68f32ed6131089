# shellcheck shell=bash
# One real node: containerd, kubelet, kube-proxy, NetworkPolicy agent and volume provisioner in its namespace.

node_up() { # node_up NAME
  local node=$1 directory
  directory=$(node_directory "$node")
  mkdir -p "$directory"/{containerd,kubelet,cni,pods,volumes,registries/"$REGISTRY"}
  cgroup_up "$node"
  container_runtime_config "$node" "$directory"
  kubelet_config "$node" "$directory"
  proxy_config "$node" "$directory"
  container_runtime "$node" "$directory"
  # The kubelet mounts volumes below it that containers must see: a shared mount of its own.
  if ! mountpoint -q "$directory/kubelet"; then
    mount --bind "$directory/kubelet" "$directory/kubelet"
    mount --make-rshared "$directory/kubelet"
  fi
  kubelet_up "$node" "$directory"
  daemon "proxy-$node" "$node" "$HYPERKUBE" kube-proxy --v=1 --config="$directory/proxy.yaml"
  daemon "netpol-$node" "$node" "$NETPOL" --kubeconfig="$PKI/netpol.kubeconfig" --hostname-override="$node" \
    --service-cluster-ip-range="$SERVICE_RANGE" --iptables-sync-period=60s --v=1
  daemon "provisioner-$node" - "$PROVISIONER" --kubeconfig="$PKI/provisioner.kubeconfig" --node="$node" \
    --dir="$directory/volumes"
}

kubelet_up() { # kubelet_up NODE DIRECTORY
  daemon "kubelet-$1" "$1" "$HYPERKUBE" kubelet --v=2 --config="$2/kubelet.yaml" \
    --kubeconfig="$PKI/kubelet-$1.kubeconfig" --root-dir="$2/kubelet" \
    --hostname-override="$1" --node-ip="$(node_address "$1")"
}

# Whether this kubelet itself answers: what the API server knows of the node may be from an earlier run. A kubelet that meets the
# container runtime between the opening of its socket and the start of its CRI service ends: it is started again, twice at most.
declare -gA KUBELET_RESTARTS=()
kubelet_answers() { # kubelet_answers NODE
  local node=$1
  if ! recorded_pid "kubelet-$node" >/dev/null && ((${KUBELET_RESTARTS[$node]:-0} < 2)); then
    KUBELET_RESTARTS[$node]=$((${KUBELET_RESTARTS[$node]:-0} + 1))
    kubelet_up "$node" "$(node_directory "$node")"
  fi
  kubectl get --raw "/api/v1/nodes/$node/proxy/healthz"
}

node_ready() { # node_ready NAME
  local node=$1
  daemon_ready "kubelet-$node" 60 kubelet_answers "$node"
  # Nobody allocates ranges here: routes and the address plan are ours (settings.sh).
  [[ -n $(kubectl get node "$node" -o 'jsonpath={.spec.podCIDR}') ]] ||
    kubectl patch node "$node" --type=merge \
      -p "{\"spec\":{\"podCIDR\":\"$(pod_range "$node")\",\"podCIDRs\":[\"$(pod_range "$node")\"]}}" >/dev/null
  kubectl wait --for=condition=Ready "node/$node" --timeout=90s >/dev/null ||
    die "node $node does not get ready; see $LOG/kubelet-$node.log"
}

container_runtime() { # container_runtime NODE DIRECTORY
  daemon "containerd-$1" "$1" "$CONTAINERD" -c "$2/containerd.toml"
  daemon_ready "containerd-$1" 30 "$CTR" -a "$2/containerd.sock" version
}

container_runtime_config() { # container_runtime_config NODE DIRECTORY
  local node=$1 directory=$2
  # ptp gives each pod a routed veth; there is no bridge in a node, so policies and kube-proxy need no br_netfilter.
  cat >"$directory/cni/10-ptp.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "$node", "plugins": [
 {"type": "ptp", "ipMasq": false, "mtu": 1500, "ipam": {"type": "host-local", "dataDir": "$directory/addresses",
  "ranges": [[{"subnet": "$(pod_range "$node")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}]}
JSON
  # The name images have in manifests, and where the registry really listens.
  cat >"$directory/registries/$REGISTRY/hosts.toml" <<TOML
server = "http://$PUSH_REGISTRY"
[host."http://$PUSH_REGISTRY"]
  capabilities = ["pull", "resolve"]
TOML
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE nobody may lower the score, and sandboxes would die at birth.
  cat >"$directory/containerd.toml" <<TOML
version = 2
root = "$directory/containerd/root"
state = "$directory/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$directory/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$directory/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$(cat "$STATE/images/pause.digest")"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$CNI_PLUGINS"
    conf_dir = "$directory/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$directory/registries"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$(snapshotter "$directory")"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
TOML
}

# An overlay cannot lie on another one, as in a container without a volume; plain copies can.
snapshotter() { # snapshotter DIRECTORY
  if [[ $(stat -fc %T "$1") == overlayfs ]]; then printf native; else printf overlayfs; fi
}

kubelet_config() { # kubelet_config NODE DIRECTORY
  local node=$1 directory=$2
  # Only search here: the name server is the cluster's.
  echo 'search cluster.local' >"$directory/resolv.conf"
  # Eviction by absolute figures: the default percentages bite on a big, fairly full disk.
  cat >"$directory/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_address "$node")
healthzBindAddress: 127.0.0.1
readOnlyPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet-server-$node.crt
tlsPrivateKeyFile: $PKI/kubelet-server-$node.key
cgroupDriver: cgroupfs
cgroupRoot: /$node
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: [pods]
containerRuntimeEndpoint: unix://$directory/containerd.sock
clusterDNS: [$SERVICE_DNS]
clusterDomain: cluster.local
resolvConf: $directory/resolv.conf
podLogsDir: $directory/pods
serializeImagePulls: false
seccompDefault: true
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, nodefs.inodesFree: "1%", imagefs.available: 1Gi, imagefs.inodesFree: "1%"}
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
oomScoreAdj: 0
YAML
}

proxy_config() { # proxy_config NODE DIRECTORY
  local node=$1 directory=$2
  # Zero leaves the connection table's settings alone: in a namespace they cannot be written.
  cat >"$directory/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: $POD_RANGE
hostnameOverride: $node
bindAddress: $(node_address "$node")
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 0.1s}
clientConnection: {kubeconfig: $PKI/proxy.kubeconfig}
YAML
}

# node_down NAME: the pods' containers and all that only a running node has. Daemons first, so nobody starts pods again,
# but containerd last, since it is asked to end the containers.
node_down() {
  local node=$1 directory
  directory=$(node_directory "$node")
  stop_daemons "provisioner-$node" "netpol-$node" "proxy-$node" "kubelet-$node"
  # Containers outlive a containerd that crashed: it is started again to end them. After a reboot there are none.
  if [[ -f $directory/containerd.toml && -e /run/netns/$node ]]; then
    container_runtime "$node" "$directory"
    end_containers "$directory/containerd.sock"
  fi
  stop_daemons "containerd-$node"
  unmount_below "$directory"
  # Addresses and runtime state belong to pods that are gone; images and volumes stay.
  rm -rf "$directory/addresses" "$directory/containerd/state" "$directory"/containerd.sock*
  cgroup_down "$node"
}

# end_containers SOCKET: and the pods' network namespaces, which nobody else takes away when containers end this way.
end_containers() {
  local ctr=("$CTR" -a "$1" -n k8s.io) container namespace namespaces
  namespaces=$(for container in $("${ctr[@]}" containers ls -q); do
    "${ctr[@]}" containers info "$container" |
      jq -r '.Spec.linux.namespaces[] | select(.type == "network") | .path // empty | select(contains("/run/netns/"))'
  done | sort -u)
  for container in $("${ctr[@]}" tasks ls -q); do "${ctr[@]}" tasks kill -s 9 "$container" 2>/dev/null || true; done
  for container in $("${ctr[@]}" containers ls -q); do
    "${ctr[@]}" tasks rm -f "$container" >/dev/null 2>&1 || true
    "${ctr[@]}" containers rm "$container" >/dev/null 2>&1 || true
  done
  for namespace in $namespaces; do ip netns del "${namespace##*/}" 2>/dev/null || true; done
}

# unmount_below DIRECTORY: deepest first, and again while a shared mount below another still shows.
unmount_below() {
  local mounts
  for _ in 1 2 3 4; do
    mounts=$(awk -v below="$1/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -ru)
    [[ -n $mounts ]] || return 0
    xargs -rn1 umount -l <<<"$mounts" 2>/dev/null || true
  done
  die "still mounted below $1: $(head -n 3 <<<"$mounts")"
}
