# shellcheck shell=bash
# JSON schemas of every kind that the real API server knows, ours and OpenReports' included, for kubeconform: made once from
# what the API server itself publishes, since it is the judge that counts.
#
# Needs hack/lib/build.sh.

# schemas: prints the directory that holds <kind>-<group>-<version>.json.
schemas() {
  local directory
  directory=$CACHE/schemas-$({ printf '%s\n' "$(binary hyperkube)" && cat "$HACK"/lib/schemas.{sh,jq} "$GO_MODULES/openreports/go.sum" "$ROOT"/crds/generated/*.yaml; } | sha256sum | cut -c1-16)
  if [[ ! -d $directory ]]; then
    rm -rf "$directory.partial"
    mkdir -p "$directory.partial"
    # shellcheck disable=SC2016 # expanded by the shell that hack/apiserver starts
    "$HACK/apiserver" -- bash -c '. "$1/lib/common.sh" && . "$1/lib/build.sh" && . "$1/lib/schemas.sh" && publish_schemas "$2"' - "$HACK" "$directory.partial"
    mv "$directory.partial" "$directory"
  fi
  printf '%s\n' "$directory"
}

# kubeconform calls the core group by its version: pod-v1-v1.json.
#
# publish_schemas DIRECTORY: with the API server that KUBECONFIG names.
publish_schemas() {
  local name
  command kubectl apply --server-side --filename "$ROOT/crds/generated" --filename "$(open_reports)" >&2
  waitfor 'the API server publishes our kinds' 60 ours_are_published
  command kubectl get --raw /openapi/v2 >"$1/openapi.json"
  jq --from-file "$HACK/lib/schemas.jq" "$1/openapi.json" >"$1/definitions.json"
  jq -r '.definitions | to_entries[] | .key as $name | .value["x-kubernetes-group-version-kind"][]?
    | "\(.kind)-\(if .group == "" then .version else .group end)-\(.version)" as $file | "\($file | ascii_downcase) \($name)"' "$1/definitions.json" |
    while read -r file name; do
      printf '{"$ref": "definitions.json#/definitions/%s"}\n' "$name" >"$1/$file.json"
    done
}

ours_are_published() {
  command kubectl get --raw /openapi/v2 | jq -e '.definitions | has("rs.tessera.v1alpha1.TesseraNode") and has("io.openreports.v1alpha1.Report")'
}
