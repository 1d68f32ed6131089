// provisioner serves dynamic volumes on one node: a directory per claim, under -dir.
//
// One instance runs per node and serves only claims that the scheduler put there (WaitForFirstConsumer). A claim that
// grows is granted at once, since a directory has no size of its own: what is proved is that the request is allowed and
// reported, not that a disk grows.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// The StorageClasses name this provisioner; the annotation remembers which node's instance owns a volume.
const (
	provisionerName = "tessera.rs/local-directory"
	nodeAnnotation  = "tessera.rs/local-directory-node"
)

type directories struct{ node, root string }

func (d *directories) Provision(_ context.Context, o controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	if o.SelectedNodeName != d.node {
		return nil, controller.ProvisioningFinished, &controller.IgnoredError{Reason: "not for node " + d.node}
	}
	path := filepath.Join(d.root, o.PVName)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// The kubelet gives a pod's fsGroup the directory; the wide mode, past the umask, serves pods that name none.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	return d.volume(o, path), controller.ProvisioningFinished, nil
}

func (d *directories) volume(o controller.ProvisionOptions, path string) *core.PersistentVolume {
	onThisNode := core.NodeSelectorRequirement{Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{d.node}}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: o.PVName, Annotations: map[string]string{nodeAnnotation: d.node}},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			VolumeMode:                    o.PVC.Spec.VolumeMode,
			Capacity:                      core.ResourceList{core.ResourceStorage: o.PVC.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{
				{MatchExpressions: []core.NodeSelectorRequirement{onThisNode}},
			}}},
		},
	}
}

func (d *directories) Delete(_ context.Context, volume *core.PersistentVolume) error {
	if volume.Annotations[nodeAnnotation] != d.node {
		return &controller.IgnoredError{Reason: "another node's volume"}
	}
	if volume.Spec.Local == nil || filepath.Dir(volume.Spec.Local.Path) != filepath.Clean(d.root) {
		return fmt.Errorf("volume %s is no directory of this node's", volume.Name)
	}
	return os.RemoveAll(volume.Spec.Local.Path)
}

func main() {
	klog.InitFlags(nil)
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	node := flag.String("node", "", "the node whose claims are served")
	dir := flag.String("dir", "", "where the volumes' directories go")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx := klog.NewContext(context.Background(), klog.Background())
	go grow(ctx, client, *node)
	serving := &directories{node: *node, root: *dir}
	controller.NewProvisionController(ctx, client, provisionerName, serving, controller.LeaderElection(false)).Run(ctx)
}
