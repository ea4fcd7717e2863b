package plugin_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	v1 "github.com/caretaker-dev/caretaker/api/postgresql/v1"
	"github.com/caretaker-dev/caretaker/internal/plugin"
)

// wishes keeps what was asked for.
type wishes struct {
	*backups

	asked *v1.RecoverInPlace
}

func (f *wishes) RecoverInPlace(_ context.Context, _ types.NamespacedName, wish v1.RecoverInPlace) error {
	f.asked = &wish

	return nil
}

func (f *wishes) inPlace(answer string, out *strings.Builder) plugin.InPlace {
	return plugin.InPlace{API: f, Clock: testclock.NewFakePassiveClock(now), In: strings.NewReader(answer), Out: out}
}

func TestRestoreInPlaceAsksFirst(t *testing.T) {
	backup := types.NamespacedName{Namespace: key.Namespace, Name: "hourly"}

	for answer, goesOn := range map[string]bool{"yes\n": true, "y\n": false, "": false} {
		f, out := &wishes{backups: archivingFake()}, &strings.Builder{}
		restorable(f.backups)

		err := f.inPlace(answer, out).Recover(t.Context(), backup, "2026-11-20 12:30+01")
		if (err == nil) != goesOn || (f.asked != nil) != goesOn {
			t.Errorf("after %q: %v, asked for %+v", answer, err, f.asked)
		}

		if !strings.Contains(out.String(), "will be stopped and recovered to 2026-11-20 11:30:00+00") {
			t.Errorf("it does not say what will be:\n%s", out)
		}

		if !goesOn {
			continue
		}

		want := &v1.RecoverInPlace{
			ID: now.UTC().Format("20060102150405"), Backup: &v1.LocalObjectReference{Name: "hourly"},
			RecoveryTarget: &v1.RecoveryTarget{TargetTime: "2026-11-20 11:30:00+00"},
		}
		if diff := cmp.Diff(want, f.asked); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
	}
}

func TestUndoTakesWhatTheLastRecoverySetAside(t *testing.T) {
	for name, tt := range map[string]struct {
		last string
		sets []v1.SetAsideStatus
		id   string
		want string
		err  string
	}{
		"the last":              {last: "b", sets: []v1.SetAsideStatus{{ID: "a"}, {ID: "b"}}, want: "b"},
		"the last did not end":  {last: "b", sets: []v1.SetAsideStatus{{ID: "a"}, {ID: "b", Incomplete: true}}, want: "a"},
		"named":                 {last: "b", sets: []v1.SetAsideStatus{{ID: "a"}, {ID: "b"}}, id: "a", want: "a"},
		"named, did not end":    {last: "b", sets: []v1.SetAsideStatus{{ID: "a", Incomplete: true}, {ID: "b"}}, id: "a", err: "nothing that one could go back to"},
		"nothing":               {err: "there is nothing to go back to"},
		"several, and not last": {last: "c", sets: []v1.SetAsideStatus{{ID: "a"}, {ID: "b"}}, err: "name one of a, b with --set-aside"},
	} {
		t.Run(name, func(t *testing.T) {
			f, out := &wishes{backups: archivingFake()}, &strings.Builder{}
			f.cluster.Status.RecoverInPlace, f.cluster.Status.SetAside = &v1.RecoverInPlaceStatus{ID: tt.last}, tt.sets

			err := f.inPlace("yes\n", out).Undo(t.Context(), key, tt.id)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || f.asked != nil {
					t.Errorf("error %v, asked for %+v", err, f.asked)
				}

				return
			}

			if err != nil || f.asked == nil || f.asked.SetAside != tt.want {
				t.Errorf("error %v, asked for %+v", err, f.asked)
			}
		})
	}
}
