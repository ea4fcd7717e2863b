package decide

import (
	"k8s.io/apimachinery/pkg/api/resource"

	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/appstack/build"
)

// part of a stack. The table of all parts is the graph:
//
//	database    needs nothing
//	cache       needs nothing
//	config      needs nothing
//	backend     needs database, cache, config
//	frontend    needs backend, config
//	ingress     needs frontend
//	monitoring  needs backend
//
// A part that is not wanted is needed by nobody.
type part struct {
	name  string
	needs []string
	// wanted says whether the spec asks for it.
	wanted bool
	// kind and resource are the object that tells whether the part is ready.
	kind, resource string
	// objects that the part consists of, in the order to write them.
	objects func() []owned.Object
	// unavailable: what the part needs is not installed. It is not made, and nothing waits for it.
	unavailable string
}

// graph is every part, each after those that it needs.
func graph(view View, input build.Input) []part {
	stack := view.Stack
	parts := []part{
		{
			name: build.Database, wanted: stack.Spec.Database != nil,
			objects: func() []owned.Object { return []owned.Object{build.DatabaseObject(input)} },
		},
		{name: build.Cache, wanted: build.HasCache(stack), kind: "StatefulSet", objects: func() []owned.Object { return cacheObjects(input) }},
		{
			name: build.Config, wanted: len(stack.Spec.Config) > 0, kind: "AppConfig",
			objects: func() []owned.Object { return []owned.Object{build.ConfigObject(input)} },
		},
		{
			name: build.Backend, needs: []string{build.Database, build.Cache, build.Config}, wanted: stack.Spec.Backend != nil, kind: "WebApp",
			objects: func() []owned.Object { return []owned.Object{build.BackendObject(input)} },
		},
		{
			name: build.Frontend, needs: []string{build.Backend, build.Config}, wanted: stack.Spec.Frontend != nil, kind: "WebApp",
			objects: func() []owned.Object { return []owned.Object{build.FrontendObject(input)} },
		},
		{
			name: build.Ingress, needs: []string{build.Frontend}, wanted: stack.Spec.Ingress != nil, kind: "Ingress",
			objects: func() []owned.Object { return []owned.Object{build.IngressObject(input)} },
		},
		{
			name: build.Monitoring, needs: []string{build.Backend}, wanted: build.HasMonitoring(stack), kind: "PodMonitor",
			objects: func() []owned.Object { return []owned.Object{build.PodMonitor(input)} },
		},
	}

	for i := range parts {
		parts[i].resource = build.Name(stack, parts[i].name)

		if parts[i].name == build.Database && parts[i].wanted {
			parts[i].kind = build.DatabaseKind(stack)
		}

		if parts[i].name == build.Monitoring && !view.PodMonitorAPI {
			parts[i].unavailable = monitoring(view).Message
		}
	}

	return parts
}

func cacheObjects(input build.Input) []owned.Object {
	objects := build.CacheObjects(input)
	if policy := build.CacheNetworkPolicy(input); policy != nil {
		objects = append(objects, policy)
	}

	return objects
}

// storageOf is what the database was last asked for: its volumes have that, and cannot shrink.
func storageOf(view View) string {
	name := build.Name(view.Stack, build.Database)
	largest := ""

	for _, storage := range []string{postgresStorage(view.Owned[owned.Key{Kind: "PostgreSQL", Name: name}]), mysqlStorage(view.Owned[owned.Key{Kind: "MySQL", Name: name}])} {
		size, err := resource.ParseQuantity(storage)
		if err != nil {
			continue
		}

		if is, err := resource.ParseQuantity(largest); err != nil || size.Cmp(is) > 0 {
			largest = storage
		}
	}

	return largest
}

func postgresStorage(live owned.Object) string {
	if database, ok := live.(*databasev1.PostgreSQL); ok {
		return database.Spec.Storage
	}

	return ""
}

func mysqlStorage(live owned.Object) string {
	if database, ok := live.(*databasev1.MySQL); ok {
		return database.Spec.Storage
	}

	return ""
}
