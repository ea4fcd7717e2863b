package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/caretaker-dev/caretaker/test/internal/kube"
	"github.com/caretaker-dev/caretaker/test/internal/page"
)

// options of a measurement.
type options struct {
	runs int
	only string
	page string
	keep bool
}

func main() {
	var o options

	flag.IntVar(&o.runs, "runs", 5, "how often to change each object")
	flag.StringVar(&o.only, "only", "", "kinds of the objects to make, separated by commas; all if empty")
	flag.StringVar(&o.page, "write", "", "write the table into this page, between its marks")
	flag.BoolVar(&o.keep, "keep", false, "leave the namespace as it is at the end")
	flag.Parse()

	// Warnings about the API's older kinds, which are all listed, are not what is measured.
	ctrl.SetLogger(logr.Discard())

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // there is nothing left to stop
	}
}

func run(ctx context.Context, o options) (err error) {
	k, err := kube.Connect()
	if err != nil {
		return err
	}

	w, err := newWorld(ctx, k, o.only)
	if err != nil {
		return err
	}

	if !o.keep {
		defer func() { err = errors.Join(err, w.remove(context.WithoutCancel(ctx))) }()
	}

	if err := w.settled(ctx); err != nil {
		return err
	}

	r, err := w.measureAll(ctx, o.runs)
	if err != nil {
		return err
	}

	fmt.Print("\n" + r.table())

	wrong := r.missed()
	if o.page != "" {
		wrong = errors.Join(wrong, page.WriteTable(o.page, "drift", "make bench-drift", r.table()))
	}

	return errors.Join(wrong, w.othersFields(ctx))
}

// measureAll edits and deletes everything in turn.
func (w *world) measureAll(ctx context.Context, runs int) (*results, error) {
	objects, err := w.applied(ctx)
	if err != nil {
		return nil, err
	}

	if len(objects) == 0 {
		return nil, errors.New("the operator has applied nothing")
	}

	r := newResults()

	for i := range runs {
		for _, object := range objects {
			for _, how := range []change{edit, remove} {
				took, err := w.measure(ctx, object, how)
				if errors.Is(err, errLeftAlone) {
					continue
				}

				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", how, object, err)
				}

				r.add(object, how, took)
				fmt.Printf("%d: %s %s: %.3f s\n", i+1, how, object, took.Seconds())
			}
		}
	}

	return r, nil
}

// limit is what is promised for each change.
const limit = 2 * time.Second
