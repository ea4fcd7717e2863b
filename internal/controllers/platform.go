package controllers

import (
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/caretaker-dev/caretaker/internal/appstack"
	"github.com/caretaker-dev/caretaker/internal/ecommerce"
	"github.com/caretaker-dev/caretaker/internal/operator"
)

func setupAppStack(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return appstack.SetupWithManager(manager, appstack.Options{
		CacheImage:              o.CacheImage,
		Clock:                   clk,
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}

func setupEcommercePlatform(manager ctrl.Manager, o operator.Options, clk clock.Clock) error {
	return ecommerce.SetupWithManager(manager, ecommerce.Options{
		Clock:                   clk,
		Recorder:                manager.GetEventRecorder(recorder),
		Registerer:              metrics.Registry,
		MaxConcurrentReconciles: o.MaxConcurrentReconciles,
	})
}
