package main

import (
	"context"
	"encoding/json"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// retryEvery bounds how long a failed grant waits: the informer hands every claim over again that often.
const retryEvery = 30 * time.Second

// grow grants each bound claim of this node that asks for more than its volume says it holds.
func grow(ctx context.Context, client kubernetes.Interface, node string) {
	factory := informers.NewSharedInformerFactory(client, retryEvery)
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	grant := func(object any) {
		if claim, ok := object.(*core.PersistentVolumeClaim); ok {
			if err := growClaim(ctx, client, node, claim); err != nil {
				klog.ErrorS(err, "cannot grow a claim", "claim", klog.KObj(claim))
			}
		}
	}
	_, err := claims.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    grant,
		UpdateFunc: func(_, object any) { grant(object) },
	})
	if err != nil {
		klog.ErrorS(err, "claims will not grow")
		return
	}
	factory.Start(ctx.Done())
}

// growClaim raises the volume's capacity first: a claim that says more than its volume is a lie, the reverse is not.
func growClaim(ctx context.Context, client kubernetes.Interface, node string, claim *core.PersistentVolumeClaim) error {
	wanted, held := claim.Spec.Resources.Requests.Storage(), claim.Status.Capacity.Storage()
	if claim.Status.Phase != core.ClaimBound || wanted.Cmp(*held) <= 0 {
		return nil
	}
	volume, err := client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, meta.GetOptions{})
	if err != nil || volume.Annotations[nodeAnnotation] != node {
		return err
	}
	capacity := map[string]any{"capacity": core.ResourceList{core.ResourceStorage: *wanted}}
	patch, err := json.Marshal(map[string]any{"spec": capacity})
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().PersistentVolumes().Patch(ctx, volume.Name, types.MergePatchType, patch, meta.PatchOptions{}); err != nil {
		return err
	}
	patch, err = json.Marshal(map[string]any{"status": capacity})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name, types.MergePatchType, patch, meta.PatchOptions{}, "status")
	return err
}
