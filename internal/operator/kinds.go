package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	backupv1 "github.com/caretaker-dev/caretaker/api/backup/v1"
	configv1 "github.com/caretaker-dev/caretaker/api/config/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	platformv1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
)

const (
	// crdPoll is how often to look for CRDs that are not installed yet; crdReminder how often to say so.
	crdPoll     = time.Second
	crdReminder = 30 * time.Second
)

// own are the kinds that come with the operator, by plural.
func own() map[schema.GroupVersion][]string {
	return map[schema.GroupVersion][]string{
		postgresqlv1.GroupVersion:    {"clusters", "clusterterms", "databases", "backups", "scheduledbackups"},
		databasev1.GroupVersion:      {"postgresqls", "mysqls"},
		caretakerappsv1.GroupVersion: {"webapps"},
		backupv1.GroupVersion:        {"dumps"},
		configv1.GroupVersion:        {"appconfigs"},
		platformv1.GroupVersion:      {"appstacks", "ecommerceplatforms"},
	}
}

// Kinds looks whether the API server serves the operator's kinds.
type Kinds struct {
	client rest.Interface
}

// NewKinds makes a Kinds for a connection.
func NewKinds(config *rest.Config) (*Kinds, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}

	return &Kinds{client: client.RESTClient()}, nil
}

// Served is nil if the API server answers and serves every kind. The error says what is missing and what to do.
func (k *Kinds) Served(ctx context.Context) error {
	var missing []string

	versions := slices.SortedFunc(maps.Keys(own()), func(a, b schema.GroupVersion) int { return strings.Compare(a.Group, b.Group) })

	for _, version := range versions {
		resources := &metav1.APIResourceList{}

		err := k.client.Get().AbsPath("/apis/" + version.String()).Do(ctx).Into(resources)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("ask the API server for %s: %w", version, err)
		}

		for _, plural := range own()[version] {
			if !slices.ContainsFunc(resources.APIResources, func(r metav1.APIResource) bool { return r.Name == plural }) {
				missing = append(missing, plural+"."+version.Group)
			}
		}
	}

	if len(missing) > 0 {
		return &missingKindsError{kinds: missing}
	}

	return nil
}

// missingKindsError: CRDs are not installed.
type missingKindsError struct {
	kinds []string
}

func (e *missingKindsError) Error() string {
	return fmt.Sprintf("the API server does not serve %s: install the CRDs, with the chart (crds.install=true) or with kubectl apply --server-side -f config/crd",
		strings.Join(e.kinds, ", "))
}

// waitServed returns once the kinds are served. A chart may start the operator a moment before its CRDs are there, and
// an API server may be away: neither is a reason to crash.
func (k *Kinds) waitServed(ctx context.Context, clk clock.Clock, logger logr.Logger) error {
	var reminded time.Time

	for {
		attempt, cancel := context.WithTimeout(ctx, probeTimeout)
		err := k.Served(attempt)

		cancel()

		if err == nil {
			return nil
		}

		if now := clk.Now(); now.Sub(reminded) >= crdReminder {
			logger.Error(nil, "Waiting for the API: "+err.Error(), "retryEvery", crdPoll.String())

			reminded = now
		}

		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-clk.After(crdPoll):
		}
	}
}
