# shellcheck shell=bash
# The operator under test, for the namespaces of the end-to-end tests.

# install_operator [HELM-ARGUMENT…]: from the image that hack/image pushed last.
install_operator() {
  local namespaces namespace
  # Every test has a namespace of its own.
  mapfile -t namespaces <"$ROOT/e2e/namespaces.txt"
  say "installing the operator for ${#namespaces[@]} test namespaces"
  # The demo's fleet goes on where there is one.
  ! kubectl get namespace org-a >/dev/null 2>&1 || namespaces+=(org-a)
  # One more is a ledger's, and gets its certificate.
  for namespace in "${namespaces[@]}" e2e-elsewhere-ledger; do
    printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {pod-security.kubernetes.io/enforce: restricted}}\n---\n' "$namespace"
  done | kubectl apply --server-side -f - >/dev/null
  install_chart \
    --set "clusterName=e2e,namespaces={$(IFS=,; echo "${namespaces[*]}")}" --set admission.breakGlass=true \
    --set "clientNamespaces.e2e-elsewhere-ledger={e2e-elsewhere}" "$@"
}
