package ha

import (
	"testing"
	"time"
)

// A replica that receives nothing must know whether the others go on without it.
func TestWord(t *testing.T) {
	for _, tc := range []struct {
		name string
		does func(w *world)
		want Word
	}{
		{"the primary is heard", func(*world) {}, Word{Primary: true, Fresh: true}},
		{"the primary and the other replica are lost", func(w *world) {
			w.node("A").crash("its node is lost")
			w.node("C").crash("its node is lost")
		}, Word{Fresh: true}},
		{"and the API server", func(w *world) {
			w.node("A").crash("its node is lost")
			w.node("C").crash("its node is lost")
			w.api(false, "B")
		}, Word{}},
		{"cut off from the primary alone", func(w *world) { w.wire(false, "AB") }, Word{Primary: true, Fresh: true}},
		{"cut off from the primary and from the API server", func(w *world) {
			w.wire(false, "AB")
			w.api(false, "B")
		}, Word{Primary: true}},
		{"cut off from the other instances", func(w *world) { w.wire(false, "AB", "BC") }, Word{Primary: true, Fresh: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(directed(3, 1), 1)
			w.steady(t)
			tc.does(w)
			w.run(w.now + 15*time.Second)

			for range 100 { // for all of ten seconds
				w.run(w.now + 100*ms)
				if got := w.node("B").st.Word(); got != tc.want {
					t.Fatalf("at %v: %+v, want %+v\n%s", w.now, got, tc.want, w.traceText())
				}
			}
		})
	}
}
