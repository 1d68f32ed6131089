# shellcheck shell=bash
# Images from local files, by digest, without a daemon: the same way on both engines.
#
#   files ──mkimage──▶ one-layer scratch image ──push──▶ $PUSH_REGISTRY ──pull──▶ localhost:5001/<name>@sha256:…

# push_image NAME ENTRYPOINT FILE=/path/in/image…: pushes unless the registry holds exactly that, and writes the full
# reference to $STATE/images/NAME.digest.
push_image() {
  local name=$1 entrypoint=$2 record=$STATE/images/$1 key reference
  shift 2
  mkdir -p "$STATE/images"
  key=$({ printf '%s\n' "$entrypoint" "$@" && sha256sum -- "${@%%=*}"; } | sha256sum)
  if [[ $(cat "$record.key" 2>/dev/null) == "$key" ]] && in_registry "$(cat "$record.digest")"; then return; fi
  reference=$("$(binary mkimage)" -ref "$PUSH_REGISTRY/$name:latest" -entrypoint "$entrypoint" "$@") ||
    die "cannot make or push the image $name"
  printf '%s/%s@%s\n' "$REGISTRY" "$name" "${reference##*@}" >"$record.digest"
  printf '%s\n' "$key" >"$record.key"
}

in_registry() { # in_registry REFERENCE
  local path=${1#"$REGISTRY"/}
  curl -fsS -o /dev/null --head -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    "http://$PUSH_REGISTRY/v2/${path%@*}/manifests/${path##*@}" 2>/dev/null
}
