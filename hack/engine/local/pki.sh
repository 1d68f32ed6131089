# shellcheck shell=bash
# The cluster's certificates and kubeconfigs: EC P-256, made once with openssl, kept until `down --wipe`.

certificate_authority() { # certificate_authority FILE NAME
  [[ -f $PKI/$1.crt ]] && return
  openssl ecparam -genkey -name prime256v1 -noout -out "$PKI/$1.key"
  openssl req -x509 -new -key "$PKI/$1.key" -days 3650 -subj "/CN=$2" -out "$PKI/$1.crt"
}

certificate() { # certificate FILE CA SUBJECT [SUBJECT-ALTERNATIVE-NAMES]
  local file=$PKI/$1 ca=$PKI/$2 subject=$3 names=${4:-}
  [[ -f $file.crt ]] && return
  openssl ecparam -genkey -name prime256v1 -noout -out "$file.key"
  openssl req -new -key "$file.key" -subj "$subject" -out "$file.csr"
  {
    printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n'
    [[ -z $names ]] || printf 'subjectAltName=%s\n' "$names"
  } >"$file.ext"
  openssl x509 -req -in "$file.csr" -CA "$ca.crt" -CAkey "$ca.key" -CAcreateserial -days 3650 -extfile "$file.ext" \
    -out "$file.crt" 2>/dev/null
  rm -f "$file.csr" "$file.ext"
}

kubeconfig() { # kubeconfig FILE: for the certificate of that name, everything inline
  cat <<YAML
apiVersion: v1
kind: Config
current-context: tessera-local
contexts: [{name: tessera-local, context: {cluster: tessera-local, user: $1}}]
clusters:
- name: tessera-local
  cluster: {server: "https://$CONTROL_PLANE:6443", certificate-authority-data: $(base64 -w 0 "$PKI/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w 0 "$PKI/$1.crt"), client-key-data: $(base64 -w 0 "$PKI/$1.key")}
YAML
}

user() { # user FILE SUBJECT
  certificate "$1" ca "$2"
  [[ -f $PKI/$1.kubeconfig ]] || kubeconfig "$1" >"$PKI/$1.kubeconfig"
}

pki_up() {
  local node umask_before
  umask_before=$(umask)
  umask 077
  mkdir -p "$PKI"
  certificate_authority ca kubernetes-ca
  certificate_authority front-proxy-ca front-proxy-ca
  certificate apiserver ca /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,\
DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$SERVICE_API,IP:$CONTROL_PLANE"
  certificate apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
  certificate front-proxy-client front-proxy-ca /CN=front-proxy-client
  user admin /O=system:masters/CN=admin
  user controller-manager /CN=system:kube-controller-manager
  user scheduler /CN=system:kube-scheduler
  user proxy /CN=system:kube-proxy
  user netpol /CN=tessera-local:netpol
  user provisioner /CN=tessera-local:provisioner
  for node in "${NODES[@]}"; do
    user "kubelet-$node" "/O=system:nodes/CN=system:node:$node"
    certificate "kubelet-server-$node" ca "/O=system:nodes/CN=system:node:$node" \
      "DNS:$node,IP:$(node_address "$node"),IP:127.0.0.1"
  done
  service_account_keys
  cp "$PKI/admin.kubeconfig" "$KUBECONFIG_FILE"
  umask "$umask_before"
}

service_account_keys() {
  [[ -f $PKI/sa.pub ]] && return
  openssl ecparam -genkey -name prime256v1 -noout -out "$PKI/sa.key"
  openssl ec -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
}
