package ha

import "testing"

// TestMutationDirected: without its guard each scenario ends in a violation.
func TestMutationDirected(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			w := s.run(t, s.guard)
			if w.fail == "" {
				w.dump()
				t.Errorf("nobody noticed that the guard is gone\n%s", w.traceText())
			}
			t.Log(w.fail)
		})
	}
}
