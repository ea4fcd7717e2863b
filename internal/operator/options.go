package operator

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
)

// defaultPostgresImage for Clusters that name none.
const defaultPostgresImage = "postgres:18"

// Options of the operator's process.
type Options struct {
	// DefaultPostgresImage for Clusters that name none.
	DefaultPostgresImage string
	// Databases are the defaults of PostgreSQLs, MySQLs and Databases.
	Databases DatabaseOptions
	// OperatorImage holds the instances' binary; their init container runs it.
	OperatorImage           string
	OperatorImagePullPolicy string
	// CacheImage of AppStacks that name none: Valkey or Redis.
	CacheImage string
	// WatchNamespaces limits the operator to these namespaces; empty for all.
	WatchNamespaces []string

	LeaderElect             bool
	LeaderElectionID        string
	LeaderElectionNamespace string
	LeaseDuration           time.Duration
	RenewDeadline           time.Duration
	RetryPeriod             time.Duration

	MetricsBindAddress     string
	MetricsPerObject       bool
	MetricsSecure          bool
	MetricsCertDir         string
	HealthProbeBindAddress string
	PprofBindAddress       string

	LogLevel  string
	LogFormat string

	MaxConcurrentReconciles int
	KubeAPIQPS              float32
}

// AddFlags adds a flag for each option, with its default.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.DefaultPostgresImage, "default-postgres-image", defaultPostgresImage,
		"PostgreSQL image for Clusters that name none; the tag starts with the major version")
	o.Databases.addFlags(flags)
	flags.StringVar(&o.OperatorImage, "operator-image", "",
		"this operator's own image; an init container of each instance takes the instance manager from it (required)")
	flags.StringVar(&o.OperatorImagePullPolicy, "operator-image-pull-policy", string(corev1.PullIfNotPresent),
		"pull policy of that init container: Always, IfNotPresent or Never")
	flags.StringVar(&o.CacheImage, "cache-image", "valkey/valkey:8", "image of Valkey or Redis for the caches of AppStacks that name none")
	flags.StringSliceVar(&o.WatchNamespaces, "watch-namespaces", nil,
		"namespaces to look after, separated by commas; all if empty")

	flags.BoolVar(&o.LeaderElect, "leader-elect", false,
		"let one of several replicas act while the others stand by")
	flags.StringVar(&o.LeaderElectionID, "leader-election-id", "caretaker",
		"name of the Lease; operators with the same name in a namespace stand by for each other")
	flags.StringVar(&o.LeaderElectionNamespace, "leader-election-namespace", "",
		"namespace of the Lease; the operator's own if empty")
	flags.DurationVar(&o.LeaseDuration, "leader-election-lease-duration", 8*time.Second,
		"how long the others wait for a leader that does not renew")
	flags.DurationVar(&o.RenewDeadline, "leader-election-renew-deadline", 6*time.Second,
		"how long the leader tries to renew before it gives up")
	flags.DurationVar(&o.RetryPeriod, "leader-election-retry-period", 2*time.Second,
		"how often everybody tries")

	flags.StringVar(&o.MetricsBindAddress, "metrics-bind-address", ":8080", "address of /metrics; 0 for none")
	flags.BoolVar(&o.MetricsPerObject, "metrics-per-object", false,
		"add the labels namespace and name to the metrics of WebApps: a time series for each of them")
	flags.BoolVar(&o.MetricsSecure, "metrics-secure", false,
		"serve metrics over HTTPS, to callers that may get the non-resource URL /metrics")
	flags.StringVar(&o.MetricsCertDir, "metrics-cert-dir", "",
		"directory of tls.crt and tls.key for metrics; a self-signed certificate if empty")
	flags.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.StringVar(&o.PprofBindAddress, "pprof-bind-address", "", "address of Go's profiles; none if empty")

	flags.StringVar(&o.LogLevel, "log-level", logLevelInfo, "error, warn, info or debug")
	flags.StringVar(&o.LogFormat, "log-format", logFormatJSON, "json or console")

	flags.IntVar(&o.MaxConcurrentReconciles, "max-concurrent-reconciles", 4, "objects of a kind that are worked on at the same time")
	flags.Float32Var(&o.KubeAPIQPS, "kube-api-qps", 100,
		"requests to the API server in a second, with bursts of twice as many; negative for no limit of our own")
}

// Validate says what is wrong with the options, and how to set it right.
func (o *Options) Validate() error {
	var errs []error

	if o.OperatorImage == "" {
		errs = append(errs, errors.New("--operator-image is required: instances take their manager from this image"))
	}

	if o.DefaultPostgresImage == "" {
		errs = append(errs, errors.New("--default-postgres-image must not be empty"))
	}

	if err := o.Databases.validate(); err != nil {
		errs = append(errs, err)
	}

	policies := []string{string(corev1.PullAlways), string(corev1.PullIfNotPresent), string(corev1.PullNever)}
	if !slices.Contains(policies, o.OperatorImagePullPolicy) {
		errs = append(errs, fmt.Errorf("--operator-image-pull-policy is %q; use one of %v", o.OperatorImagePullPolicy, policies))
	}

	if o.LeaderElect && (o.LeaseDuration <= o.RenewDeadline || o.RenewDeadline <= o.RetryPeriod*6/5) {
		errs = append(errs, fmt.Errorf("leader election: lease duration (%v) must be above renew deadline (%v), and that above 1.2 times the retry period (%v)",
			o.LeaseDuration, o.RenewDeadline, o.RetryPeriod))
	}

	if o.MaxConcurrentReconciles < 1 {
		errs = append(errs, fmt.Errorf("--max-concurrent-reconciles is %d; it must be at least 1", o.MaxConcurrentReconciles))
	}

	if o.KubeAPIQPS == 0 {
		errs = append(errs, errors.New("--kube-api-qps is 0, which would send nothing; use a positive number, or a negative one for no limit"))
	}

	return errors.Join(errs...)
}
