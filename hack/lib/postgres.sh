# shellcheck shell=bash
# A PostgreSQL as a platform's database team would offer it: TLS only, passwords by SCRAM, on a volume.
#
# It is postgres.postgres.svc:5432; its CA is the ConfigMap postgres/postgres-ca, the superuser's password is in
# $POSTGRES_STATE/password. Each user makes its own databases and roles.

POSTGRES_STATE=$STATE/postgres

postgres_up() {
  local image
  image=$(postgres_image) || die "no image for PostgreSQL"
  say "starting PostgreSQL (about 5 seconds)"
  server_certificate "$POSTGRES_STATE" postgres \
    DNS:postgres,DNS:postgres.postgres,DNS:postgres.postgres.svc,DNS:postgres.postgres.svc.cluster.local,DNS:localhost,IP:127.0.0.1
  [[ -s $POSTGRES_STATE/password ]] || (umask 077 && openssl rand -hex 24 >"$POSTGRES_STATE/password")
  {
    kubectl create namespace postgres --dry-run=client -o yaml |
      kubectl label --local -f - pod-security.kubernetes.io/enforce=restricted -o yaml
    echo ---
    kubectl create configmap postgres-ca -n postgres --from-file=ca.crt="$POSTGRES_STATE/ca.crt" --dry-run=client -o yaml
    echo ---
    kubectl create secret generic postgres -n postgres --dry-run=client -o yaml \
      --from-file="$POSTGRES_STATE/password" --from-file="$POSTGRES_STATE/tls.crt" --from-file="$POSTGRES_STATE/tls.key"
    echo ---
    sed "s#IMAGE#$image#" "$HACK/platform/postgres.yaml"
  } | kubectl apply -f - >/dev/null
  kubectl -n postgres rollout status statefulset/postgres --timeout=120s >/dev/null ||
    die "PostgreSQL does not start; see kubectl -n postgres logs postgres-0"
}
