package decide

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/appconfig/build"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

const (
	// lookAgain is how often to look at the Secrets that are referred to: they are the user's, and not watched.
	lookAgain = time.Minute
	// maxSize of all values together: what a ConfigMap can hold, less its metadata.
	maxSize = 1<<20 - 32<<10
	// defaultHistory is how many earlier versions are kept.
	defaultHistory = 5
)

// View is everything that a decision stands on.
type View struct {
	Now    time.Time
	Config *v1.AppConfig
	// Owned are the ConfigMaps and Secrets of the AppConfig.
	Owned owned.Objects
	// Rendered is what the templates give.
	Rendered build.Content
	// Problem says why they give nothing, and ProblemReason in one word.
	Problem, ProblemReason string
}

// Plan is what to do and what to tell.
type Plan struct {
	Changes []owned.Change
	// Rollout is the revision that every user of the configuration is to be told of after the changes; empty if all were.
	Rollout string
	Outcome conditions.Outcome
	// Status without its conditions.
	Status v1.AppConfigStatus
	// RolledBack: an earlier version is in use because the user wants it.
	RolledBack bool
	// After is when to look again at the latest; 0 for not before something changes.
	After time.Duration
}

// version that is kept.
type version struct {
	number  int64
	made    metav1.Time
	content build.Content
}

// Decide what to do with an AppConfig.
func Decide(view View) Plan {
	config := view.Config
	kept := versions(view)
	plan := Plan{Status: status(view, kept)}

	if len(config.Spec.SecretRefs) > 0 {
		plan.After = lookAgain
	}

	if config.DeletionTimestamp != nil {
		plan.Outcome = conditions.Outcome{Kind: conditions.Waiting, Reason: v1.ReasonDeleting, Message: "Deleting: Kubernetes collects what belongs to it"}

		return plan
	}

	use, stall := choose(view, kept)
	if stall != nil {
		stall.Message += inUse(plan.Status.Version)
		plan.Outcome = *stall

		return plan
	}

	plan.RolledBack = config.Spec.RollbackTo != nil
	plan.Changes = changes(view, kept, use)
	plan.Status.Version = use.number
	plan.Status.ConfigMapName = naming.ConfigOf(config.Spec.Application)
	plan.Status.SecretName = ""
	plan.Status.History = history(view, kept, use)

	if len(use.content.Secret) > 0 {
		plan.Status.SecretName = plan.Status.ConfigMapName
	}

	rollout(&plan, view, kept, use)

	return plan
}

// choose the version to use; or say why everything stays as it is.
func choose(view View, kept []version) (version, *conditions.Outcome) {
	if wanted := view.Config.Spec.RollbackTo; wanted != nil {
		for _, v := range kept {
			if v.number == *wanted {
				return v, nil
			}
		}

		return version{}, stalled(v1.ReasonVersionNotFound,
			fmt.Sprintf("spec.rollbackTo: version %d is not kept; %s", *wanted, choices(kept)))
	}

	if view.Problem != "" {
		return version{}, stalled(view.ProblemReason, view.Problem)
	}

	if total := size(view.Rendered); total > maxSize {
		return version{}, stalled(v1.ReasonTooLarge,
			fmt.Sprintf("spec.config and spec.templates: the values are %d bytes together, more than the %d that a ConfigMap can hold; split the AppConfig", total, maxSize))
	}

	next := int64(1)

	for _, v := range append(slices.Clone(kept), used(view)) {
		// What is in use counts too: somebody may have deleted what keeps it.
		if v.number > 0 && same(v.content, view.Rendered) {
			return v, nil
		}

		// A number is not used twice, even if nothing of it is left.
		next = max(next, v.number+1)
	}

	next = max(next, view.Config.Status.Version+1)

	return version{number: next, content: view.Rendered, made: metav1.NewTime(view.Now)}, nil
}

// changes write the version and take away those that are past the limit.
func changes(view View, kept []version, use version) []owned.Change {
	keep := map[owned.Key]bool{}

	for _, number := range retained(view, kept, use) {
		name := build.VersionName(view.Config, number)
		keep[owned.Key{Kind: "ConfigMap", Name: name}] = true
		keep[owned.Key{Kind: "Secret", Name: name}] = true
	}

	return owned.Changes(build.Objects(view.Config, use.number, use.content), view.Owned, func(key owned.Key) bool { return keep[key] })
}

// retained are the versions to keep, the latest first: the one in use, and as many others as the user wants.
func retained(view View, kept []version, use version) []int64 {
	limit := int32(defaultHistory)
	if view.Config.Spec.HistoryLimit != nil {
		limit = *view.Config.Spec.HistoryLimit
	}

	numbers := []int64{use.number}

	for _, v := range kept {
		if v.number != use.number && limit > 0 {
			numbers = append(numbers, v.number)
			limit--
		}
	}

	slices.Sort(numbers)
	slices.Reverse(numbers)

	return numbers
}

func history(view View, kept []version, use version) []v1.ConfigVersion {
	made := map[int64]metav1.Time{use.number: use.made}
	for _, v := range kept {
		made[v.number] = v.made
	}

	var all []v1.ConfigVersion
	for _, number := range retained(view, kept, use) {
		all = append(all, v1.ConfigVersion{Version: number, Time: made[number]})
	}

	return all
}

// rollout: who uses the configuration is told of a change, once. The first version is no change: pods that need it could
// not have started without.
func rollout(plan *Plan, view View, kept []version, use version) {
	revision := build.Revision(view.Config, use.number)
	first := use.number == 1 && len(kept) <= 1 && view.Config.Status.RolledOutRevision == ""

	switch {
	case view.Config.Status.RolledOutRevision == revision:
	case first || view.Config.Spec.Rollout == v1.RolloutDisabled:
		plan.Status.RolledOutRevision = revision
	default:
		plan.Rollout = revision
	}

	message := fmt.Sprintf("version %d is in use", use.number)
	if plan.RolledBack {
		message += ", as spec.rollbackTo wants"
	}

	plan.Outcome = conditions.Outcome{Kind: conditions.Done, Reason: v1.ReasonReady, Message: message}
}

// versions that are kept, the latest first.
func versions(view View) []version {
	var all []version

	for key, object := range view.Owned {
		configMap, isConfigMap := object.(*corev1.ConfigMap)
		number := numberOf(object)

		if !isConfigMap || number == 0 || key.Name != build.VersionName(view.Config, number) {
			continue
		}

		all = append(all, version{number: number, made: configMap.CreationTimestamp, content: content(view, configMap)})
	}

	slices.SortFunc(all, func(a, b version) int { return int(b.number - a.number) })

	return all
}

// used is the version in use; its number is 0 if there is none.
func used(view View) version {
	configMap, ok := view.Owned[owned.Key{Kind: "ConfigMap", Name: naming.ConfigOf(view.Config.Spec.Application)}].(*corev1.ConfigMap)
	if !ok {
		return version{}
	}

	return version{number: numberOf(configMap), made: configMap.CreationTimestamp, content: content(view, configMap)}
}

// content of a ConfigMap and of the Secret of its name.
func content(view View, configMap *corev1.ConfigMap) build.Content {
	all := build.Content{Plain: configMap.Data, Secret: map[string]string{}}

	if secret, ok := view.Owned[owned.Key{Kind: "Secret", Name: configMap.Name}].(*corev1.Secret); ok {
		for name, value := range secret.Data {
			all.Secret[name] = string(value)
		}
	}

	return all
}

func numberOf(object owned.Object) int64 {
	number, err := strconv.ParseInt(object.GetAnnotations()[naming.AnnotationConfigVersion], 10, 64)
	if err != nil {
		return 0
	}

	return number
}

// status of what is there, before anything is done.
func status(view View, kept []version) v1.AppConfigStatus {
	s := *view.Config.Status.DeepCopy()
	s.ObservedGeneration = view.Config.Generation
	s.Version = used(view).number

	if s.Version == 0 {
		s.ConfigMapName, s.SecretName = "", ""
	}

	s.History = nil
	for _, v := range kept {
		s.History = append(s.History, v1.ConfigVersion{Version: v.number, Time: v.made})
	}

	return s
}

func same(a, b build.Content) bool {
	return maps.Equal(a.Plain, b.Plain) && maps.Equal(a.Secret, b.Secret)
}

func size(content build.Content) int {
	total := 0

	for _, values := range []map[string]string{content.Plain, content.Secret} {
		for key, value := range values {
			total += len(key) + len(value)
		}
	}

	return total
}

func choices(kept []version) string {
	if len(kept) == 0 {
		return "there is no earlier version yet; remove the field"
	}

	var numbers []string
	for _, v := range kept {
		numbers = append(numbers, strconv.FormatInt(v.number, 10))
	}

	return "kept are " + strings.Join(numbers, ", ")
}

// inUse says what becomes of users while nothing goes on.
func inUse(number int64) string {
	if number == 0 {
		return ""
	}

	return fmt.Sprintf("; version %d stays in use", number)
}

func stalled(reason, message string) *conditions.Outcome {
	return &conditions.Outcome{Kind: conditions.Stalled, Reason: reason, Message: message}
}
