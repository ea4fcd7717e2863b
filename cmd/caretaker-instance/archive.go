package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/archive/wal"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
)

// The environment says what no flag does.
const (
	envStore      = "CARETAKER_STORE"
	envConfig     = "CARETAKER_ARCHIVE_CONFIG"
	envServer     = "CARETAKER_SERVER"
	envIdentities = "CARETAKER_AGE_IDENTITIES_FILE"
	envRecipients = "CARETAKER_AGE_RECIPIENTS_FILE"
)

// archiveFlags say which archive is meant, and how to tell about the work.
type archiveFlags struct {
	store, config, server, identities string

	endpoint, region, caFile string

	workers int
	asJSON  bool
}

func (f *archiveFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store", os.Getenv(envStore), "where the archive is: s3://bucket/path, gs://bucket/path, "+
		"https://account.blob.core.windows.net/container/path or file:///path ($"+envStore+")")
	flags.StringVar(&f.config, "config", os.Getenv(envConfig), "a JSON `file` with the archive's settings, instead of the other flags ($"+envConfig+")")
	flags.StringVar(&f.server, "server", os.Getenv(envServer), "the server's `name` in the archive ($"+envServer+")")
	flags.StringVar(&f.identities, "identities", os.Getenv(envIdentities), "a `file` with age identities that open what is encrypted ($"+envIdentities+")")
	flags.StringVar(&f.endpoint, "endpoint", "", "the `URL` of a store that is not the provider's own")
	flags.StringVar(&f.region, "region", "", "S3's region")
	flags.StringVar(&f.caFile, "ca-file", "", "certificates (PEM) to trust beside the system's")
	flags.IntVar(&f.workers, "workers", basebackup.DefaultWorkers, "how many packs to work on at a time; the memory needed is about twice as many packs")
	flags.BoolVar(&f.asJSON, "json", false, "print progress and the result as lines of JSON")
}

// target of the flags, or of the file that they name.
func (f *archiveFlags) target() (wal.Target, error) {
	if f.config != "" {
		return readTarget(f.config)
	}

	if f.store == "" {
		return wal.Target{}, fmt.Errorf("which store? give --store, or set %s", envStore)
	}

	if f.server == "" {
		return wal.Target{}, fmt.Errorf("which server? give --server, or set %s: its name is the first part of all keys below the store's path", envServer)
	}

	config, err := objectstore.ParseURL(f.store)
	config.Endpoint = cmp.Or(f.endpoint, config.Endpoint)
	config.Region, config.CAFile = f.region, f.caFile

	return wal.Target{Store: config, Server: f.server, IdentitiesFile: f.identities}, err
}

func readTarget(file string) (wal.Target, error) {
	var target wal.Target

	content, err := os.ReadFile(file) //nolint:gosec // the user's own file
	if err != nil {
		return target, err
	}

	if err := json.Unmarshal(content, &target); err != nil {
		return target, fmt.Errorf("%s: %w", file, err)
	}

	return target, nil
}

// opened is an archive that is ready for use.
type opened struct {
	*wal.Archive

	target     wal.Target
	identities []age.Identity
}

func (f *archiveFlags) open(ctx context.Context) (*opened, error) {
	target, err := f.target()
	if err != nil {
		return nil, err
	}

	return openArchive(ctx, target)
}

func openArchive(ctx context.Context, target wal.Target) (*opened, error) {
	archive, err := wal.Open(ctx, target)
	if err != nil {
		return nil, err
	}

	o := &opened{Archive: archive, target: target}

	if target.IdentitiesFile != "" {
		content, err := os.ReadFile(target.IdentitiesFile)
		if err != nil {
			return nil, err
		}

		if o.identities, err = crypt.ParseIdentities(string(content)); err != nil {
			return nil, err
		}
	}

	return o, nil
}

// read gives a file of the archive.
func (o *opened) read(ctx context.Context, name string) ([]byte, error) {
	return o.Fetch(ctx, name, nil)
}

// check reads a file of the archive back.
func (o *opened) check(ctx context.Context, name string) error {
	_, err := o.Fetch(ctx, name, nil)
	if errors.Is(err, wal.ErrDamaged) {
		return &basebackup.DamagedError{Key: name, Reason: err.Error()}
	}

	return err
}

func readRecipients(file string) ([]age.Recipient, error) {
	if file == "" {
		return nil, nil
	}

	content, err := os.ReadFile(file) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}

	return crypt.ParseRecipients(string(content))
}

// progress prints to a terminal in place, elsewhere a line every ten percent, or JSON.
func (f *archiveFlags) progress(out io.Writer) func(basebackup.Progress) {
	if f.asJSON {
		encoder := json.NewEncoder(out)

		return func(p basebackup.Progress) { _ = encoder.Encode(p) } // whoever reads has gone: the work goes on
	}

	file, isFile := out.(*os.File)
	isTerminal := isFile && term.IsTerminal(int(file.Fd()))
	last := ""

	return func(p basebackup.Progress) {
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

		if p.Phase == basebackup.PhaseDone {
			end = "\n"
		}

		_, _ = fmt.Fprint(out, begin, progressLine(p), end) // as above
	}
}

func progressLine(p basebackup.Progress) string {
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
func (f *archiveFlags) result(out io.Writer, value any, text string) error {
	if f.asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"result": value})
	}

	_, err := fmt.Fprintln(out, text)

	return err
}

// errNotRestorable makes the command fail when what it looked for is not so.
var errNotRestorable = errors.New("the backup cannot be restored")

func realClock() clock.WithTicker { return clock.RealClock{} }
