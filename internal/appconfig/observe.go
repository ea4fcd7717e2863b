package appconfig

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/appconfig/build"
	"github.com/caretaker-dev/caretaker/internal/appconfig/decide"
	"github.com/caretaker-dev/caretaker/internal/appconfig/render"
	"github.com/caretaker-dev/caretaker/internal/application"
)

// renderTimeout is how long the templates of one AppConfig may take; a few milliseconds are usual.
const renderTimeout = 2 * time.Second

// observe takes one snapshot, and renders the templates over it. It writes nothing.
func (r *Reconciler) observe(ctx context.Context, config *v1.AppConfig) (decide.View, error) {
	view := decide.View{Now: r.options.Clock.Now(), Config: config.DeepCopy()}

	objects, err := application.Owned(ctx, r.client, build.Owner(config), map[string]client.ObjectList{
		"ConfigMap": &corev1.ConfigMapList{},
		"Secret":    &corev1.SecretList{},
	})
	if err != nil || config.DeletionTimestamp != nil {
		return view, err
	}

	view.Owned = objects

	secrets, missing, err := r.secrets(ctx, config)
	if err != nil {
		return decide.View{}, err
	}

	if missing != "" {
		view.Problem, view.ProblemReason = missing, v1.ReasonSecretMissing

		return view, nil
	}

	deadline := r.options.Clock.Now().Add(renderTimeout)

	output, err := render.Render(input(config, secrets, func() bool { return r.options.Clock.Now().After(deadline) }))
	if err != nil {
		view.Problem, view.ProblemReason = err.Error(), v1.ReasonTemplateError
	}

	view.Rendered = build.Content{Plain: output.Plain, Secret: output.Secret}

	return view, nil
}

// secrets reads what the spec refers to from the API server: the user's Secrets lack our labels.
func (r *Reconciler) secrets(ctx context.Context, config *v1.AppConfig) (map[string]string, string, error) {
	values := map[string]string{}

	for i, ref := range config.Spec.SecretRefs {
		secret := &corev1.Secret{}

		found, err := application.Get(ctx, r.live, config.Namespace, ref.SecretName, secret)
		if err != nil {
			return nil, "", err
		}

		value, has := secret.Data[ref.Key]

		switch {
		case !found:
			return nil, fmt.Sprintf("spec.secretRefs[%d].secretName: the Secret %s does not exist; make it, or correct the name", i, ref.SecretName), nil
		case !has:
			return nil, fmt.Sprintf("spec.secretRefs[%d].key: the Secret %s has no key %q; add it, or correct the name", i, ref.SecretName, ref.Key), nil
		}

		values[ref.Name] = string(value)
	}

	return values, "", nil
}

// input of the templates: the values of the environment take the place of the others.
func input(config *v1.AppConfig, secrets map[string]string, expired func() bool) render.Input {
	spec := config.Spec
	in := render.Input{
		Environment: string(spec.Environment), Application: spec.Application, Namespace: config.Namespace,
		Values: map[string]string{}, Files: map[string]string{}, Secrets: secrets, Expired: expired,
	}

	values := maps.Clone(spec.Config)
	if values == nil {
		values = map[string]v1.ConfigValue{}
	}

	if override := override(config); override != nil {
		maps.Copy(values, override.Config)
	}

	for key, value := range values {
		in.Values[key] = string(value)
	}

	for key, file := range spec.Templates {
		in.Files[key] = string(file)
	}

	return in
}

func override(config *v1.AppConfig) *v1.EnvironmentOverride {
	environments := config.Spec.Environments
	if environments == nil {
		return nil
	}

	switch config.Spec.Environment {
	case v1.EnvironmentDev:
		return environments.Dev
	case v1.EnvironmentStaging:
		return environments.Staging
	case v1.EnvironmentProd:
		return environments.Prod
	default:
		return nil
	}
}
