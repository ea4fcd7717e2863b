package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func deletePod(ctx context.Context, v Victim) (Fault, error) {
	return v.deletePod(ctx, metav1.DeleteOptions{})
}

func forceDeletePod(ctx context.Context, v Victim) (Fault, error) {
	return v.deletePod(ctx, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
}

func (v Victim) deletePod(ctx context.Context, options metav1.DeleteOptions) (Fault, error) {
	pods := v.Clientset.CoreV1().Pods(v.Pod.Namespace)
	if err := pods.Delete(ctx, v.Pod.Name, options); err != nil {
		return Fault{}, fmt.Errorf("delete pod: %w", err)
	}

	return Fault{Happened: func(ctx context.Context) error {
		pod, err := pods.Get(ctx, v.Pod.Name, metav1.GetOptions{})

		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return fmt.Errorf("get pod: %w", err)
		case pod.UID == v.Pod.UID:
			return fmt.Errorf("%w: pod %s is the one from before", errStill, pod.Name)
		default:
			return nil
		}
	}}, nil
}

// deleteReplicaAndKill takes a replica's data away for good and the primary at the same time: what is acknowledged must be
// with those that are left.
func deleteReplicaAndKill(ctx context.Context, v Victim) (Fault, error) {
	// Not by labels: during a switchover no pod has the primary's.
	replicas, err := v.Pods(ctx)
	if err != nil {
		return Fault{}, err
	}

	replicas = slices.DeleteFunc(replicas, func(pod corev1.Pod) bool { return pod.Name == v.Pod.Name })

	if len(replicas) == 0 {
		return Fault{}, errors.New("there is no replica")
	}

	replica := Victim{Target: v.Target, Pod: &replicas[0]}

	for _, volume := range replica.Pod.Spec.Volumes {
		if claim := volume.PersistentVolumeClaim; claim != nil {
			claims := v.Clientset.CoreV1().PersistentVolumeClaims(replica.Pod.Namespace)
			if err := claims.Delete(ctx, claim.ClaimName, metav1.DeleteOptions{}); err != nil {
				return Fault{}, fmt.Errorf("delete volume claim: %w", err)
			}
		}
	}

	deleted, err := forceDeletePod(ctx, replica)
	if err != nil {
		return Fault{}, err
	}

	killed, err := killInit(ctx, v)
	if err != nil {
		return Fault{}, err
	}

	return Fault{Happened: func(ctx context.Context) error {
		return errors.Join(deleted.Happened(ctx), killed.Happened(ctx))
	}}, nil
}
