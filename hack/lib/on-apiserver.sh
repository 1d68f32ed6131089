#!/usr/bin/env bash
# With an API server of hack/apiserver around it: it is of the version that was asked for, takes every object of the chart
# (which compiles every rule of CRDs and policies; a dry run, since the tests install the chart themselves), and passes the
# tests that need an API server.
set -euo pipefail
cd "$(dirname "$0")/../.."
. hack/lib/common.sh
. hack/lib/build.sh

version=$(command kubectl version --output json | jq -r .serverVersion.gitVersion)
[[ $version == "v$1."* ]] || die "asked for Kubernetes $1, found $version"
for namespace in tessera-system org-a org-b; do command kubectl create namespace "$namespace"; done
"$(binary helm)" template tessera charts/tessera-operator --namespace tessera-system --values hack/graders.d/values.yaml \
  --kube-version "$version" | command kubectl apply --server-side --dry-run=server --filename -
cargo test --workspace --locked --test admission
cargo test --workspace --locked --test reconcile
