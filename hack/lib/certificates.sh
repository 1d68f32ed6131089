# shellcheck shell=bash
# A certification authority and one certificate of it, for a service that the platform offers or for its clients. Kept until
# `down --wipe`.

# server_certificate DIRECTORY NAME NAMES: makes ca.crt, tls.crt and tls.key there, private to this user. NAMES is
# openssl's list of subject alternative names.
server_certificate() { certificate_of_its_own_ca "$1" "$2" serverAuth "subjectAltName=$3"; }

# client_certificate DIRECTORY NAME: the same for a client.
client_certificate() { certificate_of_its_own_ca "$1" "$2" clientAuth; }

# certificate_of_its_own_ca DIRECTORY NAME USAGE [EXTENSION]…
certificate_of_its_own_ca() (
  [[ ! -f $1/tls.crt ]] || exit 0
  umask 077
  mkdir -p "$1"
  cd "$1" || exit
  key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc)
  openssl req -x509 "${key[@]}" -days 3650 -subj "/CN=test CA of $2" -keyout ca.key -out ca.crt 2>/dev/null
  openssl req "${key[@]}" -subj "/CN=$2" -keyout tls.key -out tls.csr 2>/dev/null
  printf '%s\n' basicConstraints=CA:FALSE keyUsage=critical,digitalSignature "extendedKeyUsage=$3" "${@:4}" >tls.ext
  openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile tls.ext -out tls.crt 2>/dev/null
  rm tls.csr tls.ext
)
