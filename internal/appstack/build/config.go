package build

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	v1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// ConfigObject is the stack's configuration, an AppConfig of the stack's name.
func ConfigObject(in Input) *configv1.AppConfig {
	meta := Owner(in.Stack).Meta(Name(in.Stack, Config))
	meta.Labels[naming.LabelComponent] = Config

	values := make(map[string]configv1.ConfigValue, len(in.Stack.Spec.Config))
	for key, value := range in.Stack.Spec.Config {
		values[key] = configv1.ConfigValue(value)
	}

	return &configv1.AppConfig{
		TypeMeta:   metav1.TypeMeta{APIVersion: configv1.GroupVersion.String(), Kind: "AppConfig"},
		ObjectMeta: meta,
		Spec:       configv1.AppConfigSpec{Application: in.Stack.Name, Environment: configEnvironment(in.Stack), Config: values},
	}
}

// configEnvironment: an AppConfig has the short names of the same environments.
func configEnvironment(stack *v1.AppStack) configv1.Environment {
	switch stack.Spec.Environment {
	case v1.Production:
		return configv1.EnvironmentProd
	case v1.Staging:
		return configv1.EnvironmentStaging
	case v1.Development:
	}

	return configv1.EnvironmentDev
}
