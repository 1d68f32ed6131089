# shellcheck shell=bash
# etcd, API server, controller manager and scheduler, all in the namespace of the first node.

control_plane_up() {
  etcd_up
  api_server_up
  # Only now: the controller manager exits when the API server has not yet made its bootstrap roles.
  controllers_up
}

etcd_up() {
  mkdir -p "$STATE/etcd"
  chmod 700 "$STATE/etcd"
  daemon etcd kn1 "$HYPERKUBE" etcd --name etcd --data-dir "$STATE/etcd" --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster etcd=http://127.0.0.1:2380
}

api_server_up() {
  daemon apiserver kn1 "$HYPERKUBE" kube-apiserver --v=1 \
    --advertise-address="$CONTROL_PLANE" --bind-address=0.0.0.0 --secure-port=6443 \
    --etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range="$SERVICE_RANGE" \
    --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$PKI/apiserver-kubelet-client.key" --kubelet-certificate-authority="$PKI/ca.crt" \
    --kubelet-preferred-address-types=InternalIP \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
    --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
    --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --audit-policy-file="$HACK/engine/audit-policy.yaml" --audit-log-path="$AUDIT_LOG" \
    --audit-log-maxsize=1000 --audit-log-maxbackup=1
  daemon_ready apiserver 120 kubectl get --raw /readyz
}

controllers_up() {
  local config=$PKI/controller-manager.kubeconfig
  daemon controller-manager kn1 "$HYPERKUBE" kube-controller-manager --v=1 --leader-elect=false \
    --kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
    --bind-address=127.0.0.1 --client-ca-file="$PKI/ca.crt" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --service-account-private-key-file="$PKI/sa.key" --use-service-account-credentials=true \
    --allocate-node-cidrs=false --cluster-cidr="$POD_RANGE" --service-cluster-ip-range="$SERVICE_RANGE"
  config=$PKI/scheduler.kubeconfig
  daemon scheduler kn1 "$HYPERKUBE" kube-scheduler --v=1 --leader-elect=false --bind-address=127.0.0.1 \
    --kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config"
}
