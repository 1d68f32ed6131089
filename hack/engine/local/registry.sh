# shellcheck shell=bash
# The registry, and the two images without which no pod starts.

registry_up() {
  mkdir -p "$STATE/registry" "$STATE/images"
  cat >"$STATE/registry.yml" <<YAML
version: 0.1
storage: {filesystem: {rootdirectory: $STATE/registry}, delete: {enabled: true}}
http: {addr: "$PUSH_REGISTRY"}
log: {level: warn}
YAML
  daemon registry - /usr/bin/docker-registry serve "$STATE/registry.yml"
  daemon_ready registry 20 curl -fsS "http://$PUSH_REGISTRY/v2/"
  push_image pause /pause "$(pause_binary)=/pause"
  push_image coredns /coredns "$COREDNS=/coredns"
}
