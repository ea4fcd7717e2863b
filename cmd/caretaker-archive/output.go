package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/caretaker-dev/caretaker/internal/archiveapi"
)

// progress prints to a terminal in place, elsewhere a line every ten percent, or JSON.
func (f *workFlags) progress(out io.Writer) func(archiveapi.Progress) {
	if f.asJSON {
		encoder := json.NewEncoder(out)

		return func(p archiveapi.Progress) { _ = encoder.Encode(p) } // whoever reads has gone: the work goes on
	}

	file, isFile := out.(*os.File)
	isTerminal := isFile && term.IsTerminal(int(file.Fd()))
	last := ""

	return func(p archiveapi.Progress) {
		mark := p.Phase
		if !isTerminal {
			mark = fmt.Sprint(p.Phase, p.Percent/10)
		}

		if !isTerminal && mark == last {
			return
		}

		last = mark

		begin, end := "", "\n"
		if isTerminal {
			begin, end = "\r\033[K", ""
		}

		if p.Phase == archiveapi.PhaseDone {
			end = "\n"
		}

		_, _ = fmt.Fprint(out, begin, progressLine(p), end) // as above
	}
}

func progressLine(p archiveapi.Progress) string {
	line := fmt.Sprintf("%-13s %3d %%  %s of %s", p.Phase, p.Percent, megabytes(p.BytesDone), megabytes(p.BytesTotal))
	if p.EstimatedCompletion != nil {
		line += ", done at about " + p.EstimatedCompletion.Local().Format(time.TimeOnly)
	}

	return line
}

func megabytes(n int64) string {
	const gigabyte = 1 << 30
	if n >= gigabyte {
		return fmt.Sprintf("%.1f GiB", float64(n)/gigabyte)
	}

	return fmt.Sprintf("%d MiB", n>>20)
}

// result prints what came out: a line of JSON, or text.
func (f *workFlags) result(out io.Writer, value any, text string) error {
	if f.asJSON {
		return json.NewEncoder(out).Encode(archiveapi.Result[any]{Result: value})
	}

	_, err := fmt.Fprintln(out, text)

	return err
}
