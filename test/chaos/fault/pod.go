package fault

import (
	"context"
	"fmt"

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
