# shellcheck shell=bash
# Binaries from pinned Go modules under hack/engine/go, each built once.
#
#   go.mod + go.sum + sources + flags + compiler ──sha256──▶ $CACHE/bin/<name>-<hash>/<name>
#
# An edit to any of them is another hash, so it rebuilds exactly what it touches; nothing else ever does.

GO_MODULES=$HACK/engine/go

# Kubernetes takes its version from the linker: without it the API server reports v0.0.0 and clients warn.
kubernetes_ldflags() { # kubernetes_ldflags MODULE
  local package version minor
  version=$(awk '$1 == "k8s.io/kubernetes" || $2 == "k8s.io/kubernetes" { print $NF; exit }' "$GO_MODULES/$1/go.mod")
  minor=${version#v1.}
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- '-X %s.%s ' "$package" "gitVersion=$version" "$package" gitMajor=1 \
      "$package" "gitMinor=${minor%.*}" "$package" gitTreeState=clean "$package" gitCommit=unknown \
      "$package" buildDate=2026-01-01T00:00:00Z
  done
}

# describe_binary NAME: sets MODULE, PACKAGE, LDFLAGS, TAGS and COST (what a first build takes on two cores).
describe_binary() {
  MODULE=$1 PACKAGE=. LDFLAGS='-s -w' TAGS='' COST='under a minute'
  case $1 in
    hyperkube)
      LDFLAGS="-s -w $(kubernetes_ldflags hyperkube)" COST='6 to 10 minutes'
      ;;
    kubectl)
      MODULE=hyperkube PACKAGE=k8s.io/kubernetes/cmd/kubectl LDFLAGS="-s -w $(kubernetes_ldflags hyperkube)"
      COST='about 2 minutes'
      ;;
    # The oldest and the newest that the chart allows: for hack/apiserver --kubernetes.
    kube-apiserver-*) LDFLAGS="-s -w $(kubernetes_ldflags "$1")" COST='4 to 8 minutes' ;;
    coredns | netpol | otelcol) COST='about 1 minute' ;;
    mkimage | provisioner | outside | audit-receiver) MODULE=tools PACKAGE=./$1 ;;
    # `minimal` leaves out every cloud's SDK.
    vault) TAGS=minimal COST='4 to 7 minutes' ;;
    vault-plugin-auth-kubernetes)
      MODULE=vault-kubernetes-auth
      PACKAGE=github.com/hashicorp/vault-plugin-auth-kubernetes/cmd/vault-plugin-auth-kubernetes
      COST='about 1 minute'
      ;;
    helm) PACKAGE=helm.sh/helm/v3/cmd/helm COST='about 2 minutes' ;;
    source-controller | kustomize-controller)
      MODULE=flux PACKAGE=github.com/fluxcd/$1 COST='5 to 10 minutes'
      ;;
    kind) PACKAGE=sigs.k8s.io/kind ;;
    kube-score) PACKAGE=github.com/zegl/kube-score/cmd/kube-score COST='about 1 minute' ;;
    kubeconform) PACKAGE=github.com/yannh/kubeconform/cmd/kubeconform ;;
    *) die "describe_binary: no binary called $1" ;;
  esac
}

# binary_key: the hash that names the build of the binary described last.
binary_key() {
  {
    go env GOVERSION GOARCH
    printf '%s\n' "$PACKAGE" "$LDFLAGS" "$TAGS"
    cd "$GO_MODULES/$MODULE" || exit
    # Of a module with several commands only the command's own folder counts, beside the pinned versions.
    cat go.mod go.sum
    if [[ $PACKAGE == .* ]]; then find "$PACKAGE" -name '*.go' | sort | xargs cat; fi
  } | sha256sum | cut -c1-16
}

compile() { # compile OUTPUT
  cd "$GO_MODULES/$MODULE" || exit
  CGO_ENABLED=0 GOFLAGS=-buildvcs=false \
    nice go build -v -mod=readonly -trimpath -tags "$TAGS" -ldflags "$LDFLAGS" -o "$1" "$PACKAGE"
}

# build NAME DIRECTORY: once, even when two scripts want it at the same time. A failed step ends the subshell by itself:
# bash forgets `set -e` in a command substitution, which is where callers are.
build() (
  mkdir -p "$2" || exit
  exec 8>"$2/lock"
  flock 8
  [[ ! -x $2/$1 ]] || exit 0
  long_step "building $1 from its Go module: $COST the first time, then never again" \
    "$2/build.log" compile "$2/$1.partial"
  mv "$2/$1.partial" "$2/$1"
)

# binary NAME: builds it when needed and prints its path.
binary() {
  need go "install Go 1.26 or newer from https://go.dev/dl"
  describe_binary "$1"
  local directory
  directory=$CACHE/bin/$1-$(binary_key)
  [[ -x $directory/$1 ]] || build "$1" "$directory" || exit
  printf '%s\n' "$directory/$1"
}

# open_reports: prints the path of OpenReports' own definition of its Report, from its Go module.
open_reports() (
  need go "install Go 1.26 or newer from https://go.dev/dl"
  cd "$GO_MODULES/openreports" || exit
  go mod download github.com/openreports/reports-api || exit
  printf '%s/config/crd/openreports.io_reports.yaml\n' "$(go list -mod=readonly -m -f '{{.Dir}}' github.com/openreports/reports-api)"
)

# pause is what holds a pod's namespaces open: thirty lines of C, static.
pause_binary() {
  need gcc "install the Debian packages gcc and libc6-dev"
  local source=$GO_MODULES/../pause/pause.c directory
  directory=$CACHE/bin/pause-$(sha256sum "$source" | cut -c1-16)
  if [[ ! -x $directory/pause ]]; then
    mkdir -p "$directory"
    gcc -static -Os -s -o "$directory/pause.partial" "$source" ||
      die "cannot link a static C program; install the Debian package libc6-dev"
    mv "$directory/pause.partial" "$directory/pause"
  fi
  printf '%s\n' "$directory/pause"
}

# put_on_path NAME PATH: the folder $STATE/bin is what `hack/env` puts on PATH.
put_on_path() {
  mkdir -p "$STATE/bin"
  ln -sfn "$2" "$STATE/bin/$1"
}
