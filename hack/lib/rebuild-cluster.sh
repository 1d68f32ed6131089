#!/usr/bin/env bash
# Called by the test lost_cluster in its middle: the cluster is lost, and another one stands in its place, with the operator
# installed and its logins reviewed. The Vault that VAULT_ADDR, VAULT_CACERT and VAULT_TOKEN lead to knows nothing of it; where
# TESSERA_OTHER_VAULT names a directory, it is lost, too, and another one is started there.
set -euo pipefail
cd "$(dirname "$0")/../.."
for part in common build engine operator vault-process lost-cluster; do
  # shellcheck source=/dev/null
  . "hack/lib/$part.sh"
done

hack/cluster lose
hack/cluster up
eval "$(hack/env)"
if [[ ${TESSERA_OTHER_VAULT:-} ]]; then
  vault_process_lose "${VAULT_CACERT%/*}"
  mkdir "$TESSERA_OTHER_VAULT"
  load_engine
  vault_process_up "$TESSERA_OTHER_VAULT" "$GATEWAY"
fi
admit_cluster
install_operator_for_vault
