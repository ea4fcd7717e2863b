package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	caretakerappsv1 "github.com/caretaker-dev/caretaker/api/apps/v1"
	databasev1 "github.com/caretaker-dev/caretaker/api/database/v1"
	platformv1 "github.com/caretaker-dev/caretaker/api/platform/v1"
	postgresqlv1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/naming"
	"github.com/caretaker-dev/caretaker/test/internal/kube"
)

const (
	shopNamespace = "ecommerce-prod"
	shopName      = "production-store"
	shopOverlay   = "../../config/samples/overlays/devcluster-shop"
	// shopTimeout is generous, as readyTimeout is.
	shopTimeout = 5 * time.Minute
	// shopOutage is how long the shop may be silent after its primary was killed. The promise is 10 s, on a machine that
	// does nothing else; the log says how long it was.
	shopOutage = 60 * time.Second
)

// TestEcommercePlatform brings up production-store of the source documents in the development cluster's sizes, and proves the
// whole chain: a request to the frontend reads from PostgreSQL by way of the backend and the cache, and an order that was
// acknowledged outlives the primary.
func TestEcommercePlatform(t *testing.T) {
	longOnly(t)
	t.Parallel()

	f := &fixture{Kube: testEnvironment.kube, environment: testEnvironment, namespace: shopNamespace, name: shopName + "-db"}

	if err := f.Client.Get(t.Context(), client.ObjectKey{Name: shopNamespace}, &corev1.Namespace{}); err == nil {
		t.Skipf("there is a namespace %s already, which this test would remove at its end", shopNamespace)
	}

	began := time.Now()
	f.applyOverlay(t, shopOverlay)

	// As the document does it.
	f.terminal(t).watch(t, shopTimeout, "kubectl get ecommerceplatform production-store -w", platformv1.PhaseRunning)

	step(t, f, "ready", shopReady)
	t.Logf("apply → Ready: %.1f s", time.Since(began).Seconds())

	step(t, f, "everything has the label", shopLabels)
	step(t, f, "a request reads from PostgreSQL by way of the cache", shopRequest)
	step(t, f, "nothing acknowledged is lost with the primary", shopFailover)
	step(t, f, "deleted in reverse order", shopDelete)
}

func (f *fixture) platform(ctx context.Context) (*platformv1.EcommercePlatform, error) {
	platform := &platformv1.EcommercePlatform{}
	err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: shopName}, platform)

	return platform, err
}

func shopReady(t *testing.T, f *fixture) {
	t.Helper()

	kube.Eventually(t, shopTimeout, shopName+" is ready", func(ctx context.Context) error {
		platform, err := f.platform(ctx)
		if err != nil {
			return err
		}

		if ready := meta.FindStatusCondition(platform.Status.Conditions, "Ready"); ready == nil || ready.Status != metav1.ConditionTrue ||
			platform.Status.ObservedGeneration != platform.Generation {
			return fmt.Errorf("%s %s: %+v", platform.Status.Phase, platform.Status.Ready, ready)
		}

		return nil
	})

	platform, err := f.platform(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if platform.Status.Phase != platformv1.PhaseRunning || platform.Status.Endpoints.Frontend == "" || platform.Status.Endpoints.Database == "" {
		t.Errorf("phase %s, endpoints %+v", platform.Status.Phase, platform.Status.Endpoints)
	}

	if got := f.cluster(t); got.Spec.Instances != 3 {
		t.Errorf("%d database instances in production", got.Spec.Instances)
	}
}

// shopLabels: what `kubectl get all -l platform=production-store` shows.
func shopLabels(t *testing.T, f *fixture) {
	t.Helper()

	printed := f.terminal(t).run(t, "kubectl get all -l platform=production-store")
	for _, part := range []string{"pod/production-store-db-", "deployment.apps/production-store-frontend", "statefulset.apps/production-store-cache", "service/production-store-backend"} {
		if !strings.Contains(printed, part) {
			t.Errorf("kubectl get all shows no %s", part)
		}
	}

	for list, want := range map[client.ObjectList]int{
		// Two of the frontend, two of the backend, the cache, three of the database.
		&corev1.PodList{}: 8, &appsv1.DeploymentList{}: 2, &appsv1.StatefulSetList{}: 1,
		// Frontend, backend, cache; -rw, -ro, -r and the headless one of the database.
		&corev1.ServiceList{}: 7,
	} {
		if err := f.Client.List(t.Context(), list, client.InNamespace(f.namespace), client.MatchingLabels{"platform": shopName}); err != nil {
			t.Fatal(err)
		}

		if got := meta.LenList(list); got != want {
			t.Errorf("%d %T with the label, want %d", got, list, want)
		}
	}
}

// shopGet asks the frontend.
func (f *fixture) shopGet(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	return f.Clientset.CoreV1().Services(f.namespace).ProxyGet("http", shopName+"-frontend", "8080", path, nil).DoRaw(ctx)
}

// shopOrder sends an order to the frontend; nil once it is acknowledged.
func (f *fixture) shopOrder(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()

	return f.Clientset.CoreV1().RESTClient().Post().Namespace(f.namespace).Resource("services").
		Name("http:"+shopName+"-frontend:8080").SubResource("proxy").Suffix("orders").
		SetHeader("Content-Type", "application/json").Body(fmt.Appendf(nil, `{"id":%q,"product":1}`, id)).Do(ctx).Error()
}

func shopRequest(t *testing.T, f *fixture) {
	t.Helper()

	misses, err := f.cacheState(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	for range 2 {
		content, err := f.shopGet(t.Context(), "products")
		if err != nil {
			t.Fatalf("ask for the products: %v", err)
		}

		var products []struct {
			Name string `json:"name"`
		}

		if err := json.Unmarshal(content, &products); err != nil || len(products) != 3 || products[0].Name != "Anvil" {
			t.Errorf("products %s: %v", content, err)
		}
	}

	after, err := f.cacheState(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	// The first request was a miss, or found what a request before had put there; the second was a hit in any case.
	if after.hits <= misses.hits {
		t.Errorf("the cache was not asked, or had nothing: %+v, then %+v", misses, after)
	}

	if after.misses == 0 {
		t.Errorf("the products never came from PostgreSQL: %+v", after)
	}
}

type cacheState struct{ hits, misses int }

// cacheState is the cache's own count.
func (f *fixture) cacheState(ctx context.Context) (cacheState, error) {
	out, err := f.Exec(ctx, kube.Container{Namespace: f.namespace, Pod: shopName + "-cache-0", Container: "cache"},
		"sh", "-c", `valkey-cli -a "$(sed -n 's/^requirepass //p' /etc/caretaker-cache/valkey.conf)" --no-auth-warning info stats`)
	if err != nil {
		return cacheState{}, fmt.Errorf("ask the cache: %w: %s", err, out)
	}

	return cacheState{hits: statistic(out, "keyspace_hits:"), misses: statistic(out, "keyspace_misses:")}, nil
}

func statistic(out, name string) int {
	for line := range strings.FieldsSeq(out) {
		if len(line) > len(name) && line[:len(name)] == name {
			n, _ := strconv.Atoi(line[len(name):])

			return n
		}
	}

	return 0
}

// shopFailover kills the primary while orders come in.
func shopFailover(t *testing.T, f *fixture) {
	t.Helper()

	var acknowledged []string

	order := func(i int) error {
		id := fmt.Sprintf("order-%04d", i)

		err := f.shopOrder(t.Context(), id)
		if err == nil {
			acknowledged = append(acknowledged, id)
		}

		return err
	}

	for i := range 20 {
		if err := order(i); err != nil {
			t.Fatalf("order: %v", err)
		}
	}

	primary := f.pods(t)[f.primary(t)]
	if err := f.Client.Delete(t.Context(), &primary, client.GracePeriodSeconds(0)); err != nil {
		t.Fatalf("kill the primary: %v", err)
	}

	killed, number := time.Now(), 20

	// Since when every order was taken.
	var answers time.Time

	kube.Eventually(t, shopOutage, "the shop takes orders again", func(context.Context) error {
		number++

		if err := order(number); err != nil {
			answers = time.Time{}

			return err
		}

		if answers.IsZero() {
			answers = time.Now()
		}

		// One that was under way may still have reached the old primary: the new one has to be known. It may be a new pod of the same
		// name, which was back before another would have led.
		if again := f.pods(t)[primary.Name]; f.cluster(t).Status.Primary == primary.Name && (again.UID == primary.UID || again.Labels[naming.LabelRole] != naming.RolePrimary) {
			return errors.New("the old primary is still in the status")
		}

		return nil
	})
	t.Logf("the shop took orders again after %.1f s", answers.Sub(killed).Seconds())

	content, err := f.shopGet(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}

	var orders []string
	if err := json.Unmarshal(content, &orders); err != nil {
		t.Fatal(err)
	}

	for _, id := range acknowledged {
		if !slices.Contains(orders, id) {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}

	t.Logf("%d orders acknowledged, %d there", len(acknowledged), len(orders))
	shopReady(t, f)
}

// shopDelete: no part goes before those that need it, pods included.
func shopDelete(t *testing.T, f *fixture) {
	t.Helper()

	platform, err := f.platform(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if err := f.Client.Delete(t.Context(), platform); err != nil {
		t.Fatal(err)
	}

	kube.Eventually(t, shopTimeout, "the platform is gone", func(ctx context.Context) error {
		for above, going := range map[string]client.Object{
			"frontend": &caretakerappsv1.WebApp{ObjectMeta: metav1.ObjectMeta{Name: shopName + "-backend"}},
			"backend":  &databasev1.PostgreSQL{ObjectMeta: metav1.ObjectMeta{Name: shopName + "-db"}},
		} {
			if err := f.checkOrder(ctx, going, above); err != nil {
				t.Error(err)
			}
		}

		platform, err := f.platform(ctx)
		if apierrors.IsNotFound(err) {
			return nil
		}

		if err != nil {
			return err
		}

		return fmt.Errorf("%+v", meta.FindStatusCondition(platform.Status.Conditions, "Ready"))
	})

	for _, gone := range []client.ObjectList{&platformv1.AppStackList{}, &caretakerappsv1.WebAppList{}, &databasev1.PostgreSQLList{}, &postgresqlv1.ClusterList{}} {
		kube.Eventually(t, shopTimeout, fmt.Sprintf("%T is empty", gone), func(ctx context.Context) error {
			if err := f.Client.List(ctx, gone, client.InNamespace(f.namespace)); err != nil {
				return err
			}

			if n := meta.LenList(gone); n > 0 {
				return fmt.Errorf("%d left", n)
			}

			return nil
		})
	}

	volumes := &corev1.PersistentVolumeClaimList{}
	if err := f.Client.List(t.Context(), volumes, client.InNamespace(f.namespace)); err != nil || len(volumes.Items) != 3 {
		t.Errorf("%d volumes are left, want 3, since they are retained: %v", len(volumes.Items), err)
	}
}

// checkOrder: an object that goes has nothing left above it that serves.
func (f *fixture) checkOrder(ctx context.Context, object client.Object, above string) error {
	pods, err := f.serving(ctx, above)
	if err != nil || pods == 0 {
		return err
	}

	// Read after the pods: what is gone now may have gone only after they had.
	err = f.Client.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: object.GetName()}, object)
	if apierrors.IsNotFound(err) || err == nil && object.GetDeletionTimestamp() != nil {
		pods, err = f.serving(ctx, above)
		if err == nil && pods > 0 {
			err = fmt.Errorf("%T %s goes while %d pods of the %s run", object, object.GetName(), pods, above)
		}
	}

	return err
}

// serving are the pods of a part whose containers have not ended: those that have may be there for a while yet.
func (f *fixture) serving(ctx context.Context, component string) (int, error) {
	pods := &corev1.PodList{}
	if err := f.Client.List(ctx, pods, client.InNamespace(f.namespace), client.MatchingLabels{naming.LabelStack: shopName, naming.LabelComponent: component}); err != nil {
		return 0, err
	}

	n := 0

	for _, pod := range pods.Items {
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			n++
		}
	}

	return n, nil
}
