package plugin

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

// ClusterReader reads Clusters.
type ClusterReader interface {
	// Cluster reads a Cluster.
	Cluster(ctx context.Context, key types.NamespacedName) (*v1.Cluster, error)
	// Clusters are the names of a namespace's Clusters.
	Clusters(ctx context.Context, namespace string) ([]string, error)
}

// find reads a Cluster; the error says what there is instead.
func find(ctx context.Context, api ClusterReader, key types.NamespacedName) (*v1.Cluster, error) {
	cluster, err := api.Cluster(ctx, key)

	switch {
	case err == nil:
		return cluster, nil
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("read Cluster %s in namespace %s: %w", key.Name, key.Namespace, err)
	}

	there, listErr := api.Clusters(ctx, key.Namespace)

	switch {
	case apierrors.IsNotFound(listErr):
		return nil, fmt.Errorf("this Kubernetes cluster does not have Caretaker's kinds; is the operator installed? (%w)", err)
	case listErr != nil || len(there) == 0:
		return nil, fmt.Errorf("namespace %s has no Cluster %s; -n names another namespace", key.Namespace, key.Name)
	default:
		return nil, fmt.Errorf("namespace %s has no Cluster %s, but %s", key.Namespace, key.Name, strings.Join(there, ", "))
	}
}
