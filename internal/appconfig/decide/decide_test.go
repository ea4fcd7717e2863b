package decide_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/caretaker-dev/caretaker/api/config/v1"
	"github.com/caretaker-dev/caretaker/internal/appconfig/build"
	"github.com/caretaker-dev/caretaker/internal/appconfig/decide"
	"github.com/caretaker-dev/caretaker/internal/apply/owned"
	"github.com/caretaker-dev/caretaker/internal/conditions"
)

func content(level string) build.Content {
	return build.Content{Plain: map[string]string{"LOG_LEVEL": level}, Secret: map[string]string{}}
}

func fresh() decide.View {
	return decide.View{
		Now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC),
		Config: &v1.AppConfig{
			ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "apps", UID: "0123456789", Generation: 1},
			Spec:       v1.AppConfigSpec{Application: "shop", Environment: v1.EnvironmentProd, HistoryLimit: new(int32(2))},
		},
		Owned: owned.Objects{}, Rendered: content("info"),
	}
}

// after does what the plan says, and remembers the status.
func after(view decide.View) decide.View {
	plan := decide.Decide(view)

	for _, change := range plan.Changes {
		switch c := change.(type) {
		case owned.Apply:
			view.Owned[owned.Key{Kind: c.Object.GetObjectKind().GroupVersionKind().Kind, Name: c.Object.GetName()}] = c.Object
		case owned.Delete:
			delete(view.Owned, owned.Key{Kind: c.Kind, Name: c.Object.GetName()})
		}
	}

	view.Config.Status = plan.Status
	if plan.Rollout != "" {
		view.Config.Status.RolledOutRevision = plan.Rollout
	}

	return view
}

// with changes what the templates give, and brings it in use.
func with(view decide.View, levels ...string) decide.View {
	for _, level := range levels {
		view.Rendered = content(level)
		view = after(view)
	}

	return view
}

func changes(plan decide.Plan) string {
	var all []string
	for _, change := range plan.Changes {
		all = append(all, change.String())
	}

	return strings.Join(all, ", ")
}

func TestVersions(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		view    func() decide.View
		version int64
		changes string
		rollout string
	}{
		"the first": {fresh, 1, "create ConfigMap shop-config-v1, create ConfigMap shop-config", ""},
		"unchanged": {func() decide.View { return with(fresh(), "info") }, 1, "", ""},
		"changed": {
			func() decide.View { v := with(fresh(), "info"); v.Rendered = content("debug"); return v }, 2,
			"create ConfigMap shop-config-v2, update ConfigMap shop-config", "2-01234567",
		},
		"back to what was before": {
			func() decide.View { v := with(fresh(), "info", "debug"); v.Rendered = content("info"); return v }, 1,
			"update ConfigMap shop-config", "1-01234567",
		},
		"past the limit": {
			func() decide.View { v := with(fresh(), "a", "b", "c"); v.Rendered = content("d"); return v }, 4,
			"create ConfigMap shop-config-v4, update ConfigMap shop-config, delete ConfigMap shop-config-v1", "4-01234567",
		},
		"rolled back": {
			func() decide.View { v := with(fresh(), "a", "b"); v.Config.Spec.RollbackTo = new(int64(1)); return v }, 1,
			"update ConfigMap shop-config", "1-01234567",
		},
		"rolled back though the template fails": {func() decide.View {
			v := with(fresh(), "a", "b")
			v.Config.Spec.RollbackTo, v.Problem, v.ProblemReason = new(int64(1)), "no", v1.ReasonTemplateError

			return v
		}, 1, "update ConfigMap shop-config", "1-01234567"},
		"changed by hand": {func() decide.View {
			v := with(fresh(), "info")
			edited := v.Owned[owned.Key{Kind: "ConfigMap", Name: "shop-config"}].DeepCopyObject().(owned.Object)
			edited.SetLabels(nil)
			v.Owned[owned.Key{Kind: "ConfigMap", Name: "shop-config"}] = edited

			return v
		}, 1, "put right ConfigMap shop-config", ""},
		"what keeps it is deleted by hand": {func() decide.View {
			v := with(fresh(), "info")
			delete(v.Owned, owned.Key{Kind: "ConfigMap", Name: "shop-config-v1"})

			return v
		}, 1, "create ConfigMap shop-config-v1", ""},
		"a value becomes secret": {func() decide.View {
			v := with(fresh(), "info")
			v.Rendered.Secret = map[string]string{"PASSWORD": "x"}

			return v
		}, 2, "create Secret shop-config-v2, create ConfigMap shop-config-v2, create Secret shop-config, update ConfigMap shop-config", "2-01234567"},
		"rollout is off": {func() decide.View {
			v := with(fresh(), "info")
			v.Config.Spec.Rollout, v.Rendered = v1.RolloutDisabled, content("debug")

			return v
		}, 2, "create ConfigMap shop-config-v2, update ConfigMap shop-config", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			plan := decide.Decide(tc.view())
			if plan.Outcome.Kind != conditions.Done || plan.Status.Version != tc.version || plan.Rollout != tc.rollout || changes(plan) != tc.changes {
				t.Errorf("%+v, version %d, rollout %q, changes %q\nwant version %d, rollout %q, changes %q",
					plan.Outcome, plan.Status.Version, plan.Rollout, changes(plan), tc.version, tc.rollout, tc.changes)
			}
		})
	}
}

// Whatever is wrong, what is in use stays as it is.
func TestStalled(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		change  func(*decide.View)
		reason  string
		message string
	}{
		"template": {func(v *decide.View) {
			v.Problem, v.ProblemReason = "spec.config.A: line 1, column 4: no", v1.ReasonTemplateError
		}, v1.ReasonTemplateError, "spec.config.A: line 1, column 4: no; version 2 stays in use"},
		"secret": {func(v *decide.View) {
			v.Problem, v.ProblemReason = "spec.secretRefs[0]: missing", v1.ReasonSecretMissing
		}, v1.ReasonSecretMissing, "spec.secretRefs[0]: missing; version 2 stays in use"},
		"rollback":     {func(v *decide.View) { v.Config.Spec.RollbackTo = new(int64(7)) }, v1.ReasonVersionNotFound, "spec.rollbackTo: version 7 is not kept; kept are 2, 1; version 2 stays in use"},
		"size of them": {func(v *decide.View) { v.Rendered = content(strings.Repeat("x", 1<<20)) }, v1.ReasonTooLarge, "split the AppConfig; version 2 stays in use"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			view := with(fresh(), "a", "b")
			tc.change(&view)

			plan := decide.Decide(view)
			if plan.Outcome.Kind != conditions.Stalled || plan.Outcome.Reason != tc.reason || !strings.Contains(plan.Outcome.Message, tc.message) {
				t.Errorf("outcome is %+v", plan.Outcome)
			}

			if len(plan.Changes) > 0 || plan.Rollout != "" || plan.Status.Version != 2 {
				t.Errorf("changes %s, rollout %q, version %d", changes(plan), plan.Rollout, plan.Status.Version)
			}
		})
	}
}
