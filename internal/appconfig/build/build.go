package build

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Content of a configuration.
type Content struct{ Plain, Secret map[string]string }

// Owner of an AppConfig's objects.
func Owner(config *v1.AppConfig) owned.Owner {
	return owned.Owner{
		Object: config, GVK: v1.GroupVersion.WithKind("AppConfig"), Label: naming.LabelAppConfig, Application: config.Spec.Application,
	}
}

// VersionName is the name of the objects that keep a version.
func VersionName(config *v1.AppConfig, version int64) string {
	return fmt.Sprintf("%s-v%d", naming.ConfigOf(config.Spec.Application), version)
}

// Revision names a version of this very AppConfig: one that is made again under the name begins to count anew.
func Revision(config *v1.AppConfig, version int64) string {
	uid := string(config.UID)

	return strconv.FormatInt(version, 10) + "-" + uid[:min(8, len(uid))]
}

// Objects of a version in use: first those that keep it, then those that are used, the ConfigMap last. It is what tells
// that the version is in use.
func Objects(config *v1.AppConfig, version int64, content Content) []owned.Object {
	kept, used := VersionName(config, version), naming.ConfigOf(config.Spec.Application)

	var objects []owned.Object

	for _, name := range []string{kept, used} {
		immutable := name == kept

		if len(content.Secret) > 0 {
			objects = append(objects, secret(config, name, version, content.Secret, immutable))
		}

		objects = append(objects, configMap(config, name, version, content.Plain, immutable))
	}

	return objects
}

//nolint:revive // the flag is the object's own
func configMap(config *v1.AppConfig, name string, version int64, data map[string]string, immutable bool) *corev1.ConfigMap {
	object := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: meta(config, name, version),
		Data:       data,
	}

	if immutable {
		object.Immutable = &immutable
	}

	return object
}

//nolint:revive // the flag is the object's own
func secret(config *v1.AppConfig, name string, version int64, values map[string]string, immutable bool) *corev1.Secret {
	object := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta(config, name, version),
		Type:       corev1.SecretTypeOpaque,
		Data:       make(map[string][]byte, len(values)),
	}

	for key, value := range values {
		object.Data[key] = []byte(value)
	}

	if immutable {
		object.Immutable = &immutable
	}

	return object
}

func meta(config *v1.AppConfig, name string, version int64) metav1.ObjectMeta {
	m := Owner(config).Meta(name)
	m.Annotations = map[string]string{naming.AnnotationConfigVersion: strconv.FormatInt(version, 10)}

	return m
}
