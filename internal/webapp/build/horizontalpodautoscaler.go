package build

import (
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// defaultTargetCPU in percent of the request, where the user sets no target.
const defaultTargetCPU = 80

// HorizontalPodAutoscaler sets the Deployment's replicas; nil where autoscaling is off.
func HorizontalPodAutoscaler(in Input) *autoscalingv2.HorizontalPodAutoscaler {
	scaling := in.WebApp.Spec.Autoscaling
	if scaling == nil {
		return nil
	}

	metrics := scaling.Metrics
	if len(metrics) == 0 {
		target := int32(defaultTargetCPU)
		if scaling.TargetCPU != nil {
			target = *scaling.TargetCPU
		}

		metrics = []autoscalingv2.MetricSpec{{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &target},
			},
		}}
	}

	return &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: Owner(in.WebApp).Meta(in.WebApp.Name),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: in.WebApp.Name},
			MinReplicas:    new(minReplicas(in.WebApp)),
			MaxReplicas:    scaling.MaxReplicas,
			Metrics:        metrics,
		},
	}
}
