# shellcheck shell=bash
# Flux's source-controller and kustomize-controller, from their pinned Go modules, as processes of this machine. Both speak to
# the cluster as one ServiceAccount that is cluster-admin, as Flux's own installation binds it.
#
#   flux_up DIRECTORY   starts both; their state and logs lie in DIRECTORY
#   flux_down           ends both
#
# Needs hack/lib/build.sh, and a cluster that hack/env has put into the environment.

FLUX_PIDS=()

flux_up() {
  local directory=$1 controller
  mkdir -p "$directory/artifacts"
  for controller in source-controller kustomize-controller; do
    binary "$controller" >"$directory/$controller.path"
    kubectl apply --server-side --filename "$(flux_module "$controller")/config/crd/bases" >/dev/null
  done
  kubectl wait --for=condition=Established --timeout=60s crd --all >/dev/null
  flux_account "$directory"
  flux_start "$directory" source-controller --storage-path="$directory/artifacts" \
    --storage-addr=127.0.0.1:9790 --storage-adv-addr=127.0.0.1:9790
  flux_start "$directory" kustomize-controller
}

# The definitions come with the module that the controller is built from.
flux_module() { (cd "$GO_MODULES/flux" && go mod download -json "github.com/fluxcd/$1" | jq -r .Dir); }

flux_account() { # flux_account DIRECTORY: writes a kubeconfig with the ServiceAccount's token
  kubectl create namespace flux-system --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  kubectl create serviceaccount flux -n flux-system --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  kubectl create clusterrolebinding flux-cluster-reconciler --clusterrole=cluster-admin --serviceaccount=flux-system:flux \
    --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  (
    umask 077
    kubectl create token flux -n flux-system --duration=2h >"$1/token"
    kubectl config view --raw --minify -o json |
      jq --rawfile token "$1/token" '.users[0].user = {token: ($token | rtrimstr("\n"))}' >"$1/kubeconfig"
  )
}

# flux_start DIRECTORY CONTROLLER OPTION…: no proxy, no leader election, no port but the one for artifacts.
flux_start() {
  local directory=$1 controller=$2
  shift 2
  env -u HTTP_PROXY -u HTTPS_PROXY -u http_proxy -u https_proxy \
    KUBECONFIG="$directory/kubeconfig" RUNTIME_NAMESPACE=flux-system TMPDIR="$directory" \
    "$(cat "$directory/$controller.path")" --watch-all-namespaces=false --metrics-addr=0 --health-addr=0 "$@" \
    >"$directory/$controller.log" 2>&1 </dev/null &
  FLUX_PIDS+=("$!")
}

flux_down() {
  local pid
  for pid in "${FLUX_PIDS[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  # Who may do everything may exec past every policy, which the line NoRemoteRoot says of all networks.
  [[ ${#FLUX_PIDS[@]} -eq 0 ]] ||
    kubectl delete clusterrolebinding flux-cluster-reconciler --ignore-not-found >/dev/null || true
  FLUX_PIDS=()
}
