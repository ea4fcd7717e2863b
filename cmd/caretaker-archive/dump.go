package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/archive/crypt"
	"github.com/caretaker-dev/caretaker/internal/archive/dump"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/objectstore"
	"github.com/caretaker-dev/caretaker/internal/version"
)

// latest stands for the newest dump's ID.
const latest = "latest"

// dumpStoreFlags say where dumps are. In a pod that the operator made the environment says it.
type dumpStoreFlags struct {
	storeFlags

	name   string
	asJSON bool
}

func (f *dumpStoreFlags) add(cmd *cobra.Command) {
	f.storeFlags.add(cmd, "the dumps are")

	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "of whom the dumps are, such as namespace/name of a Backup")
	flags.BoolVar(&f.asJSON, "json", false, "print the result as JSON")
}

// given is what the environment or the flags say.
func (f *dumpStoreFlags) given() (archiveapi.Dump, error) {
	var in archiveapi.Dump

	if told := os.Getenv(archiveapi.EnvDump); told != "" {
		if err := json.Unmarshal([]byte(told), &in); err != nil {
			return in, fmt.Errorf("read %s: %w", archiveapi.EnvDump, err)
		}

		return in, nil
	}

	err := f.check()
	if err == nil {
		in.Store, err = f.storeConfig()
	}

	in.Name = f.name

	return in, err
}

func openDumps(ctx context.Context, in archiveapi.Dump) (objectstore.Store, error) {
	config, err := dump.WithCredentials(in.Store, in.StoreDir)
	if err != nil {
		return nil, err
	}

	return objectstore.Open(ctx, config)
}

func (f *dumpStoreFlags) open(ctx context.Context) (archiveapi.Dump, objectstore.Store, error) {
	in, err := f.given()
	if err != nil {
		return in, nil, err
	}

	store, err := openDumps(ctx, in)

	return in, store, err
}

// storedDump is a dump in its store, and what opens it.
type storedDump struct {
	in         archiveapi.Dump
	store      objectstore.Store
	manifest   *dump.Manifest
	identities []age.Identity
}

// find a dump by its ID, or the latest.
func (f *dumpStoreFlags) find(ctx context.Context, id string) (d storedDump, err error) {
	if d.in, d.store, err = f.open(ctx); err != nil {
		return d, err
	}

	if id == latest {
		d.manifest, err = dump.Latest(ctx, d.store, d.in.Name)
	} else {
		d.manifest, err = dump.Load(ctx, d.store, id)
	}

	if err != nil {
		return d, err
	}

	d.identities, err = readIdentities(f.identities)

	return d, err
}

func (d storedDump) verify(ctx context.Context) error {
	return dump.Verify(ctx, d.store, d.manifest, d.identities)
}

func (d storedDump) read(ctx context.Context, w io.Writer) error {
	return dump.Read(ctx, d.store, d.manifest, d.identities, w)
}

func (f *dumpStoreFlags) result(out io.Writer, value any, text string) error {
	return (&workFlags{asJSON: f.asJSON}).result(out, value, text)
}

// dumpServerFlags say which database is meant.
type dumpServerFlags struct {
	archiveapi.DumpServer
}

func (f *dumpServerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Engine, "engine", archiveapi.EnginePostgreSQL, "postgresql, mysql or mongodb")
	flags.StringVar(&f.Host, "host", "", "the server's host; by default the program's own, such as $PGHOST")
	flags.Int32Var(&f.Port, "port", 0, "the server's port, likewise")
	flags.StringVar(&f.Database, "database", "", "the database, likewise")
	flags.StringVar(&f.SSLMode, "sslmode", "", "disable, prefer, require, verify-ca or verify-full")
	flags.StringVar(&f.SecretDir, "secret-dir", "", "a `folder` with the files username, password and ca.crt; without one the program's own "+
		"ways count, such as $PGPASSWORD and ~/.my.cnf")
}

func programs(cmd *cobra.Command) dump.Programs { return dump.Programs{Log: cmd.ErrOrStderr()} }

func newDumpCommand() *cobra.Command {
	var (
		where                            dumpStoreFlags
		which                            dumpServerFlags
		keep, recipients, terminationLog string
	)

	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Dump a database into an object store, with the database's own dump program",
		Long: "Dump a database into an object store, with the database's own dump program: pg_dump, mysqldump or mongodump.\n" +
			"The dump exists when this ends without an error, and until then not at all.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := where.given()
			if err != nil {
				return err
			}

			if in.Source.Engine == "" {
				in.Source, in.Retention = which.DumpServer, keep

				if in.Recipients, err = readLines(recipients); err != nil {
					return err
				}
			}

			result, m, err := takeDump(cmd, in)
			if err != nil {
				if in.StoreDir != "" {
					err = dump.Trouble(in.Store, err)
				}

				result.Error = err.Error()
			} else if in.Verification != nil {
				err = testDump(cmd, in, m, &result, terminationLog)
			}

			if terminationLog != "" {
				err = errors.Join(err, writeLastWords(terminationLog, result))
			}

			if err != nil {
				return err
			}

			return where.result(cmd.OutOrStdout(), result, dumpText(result))
		},
	}
	where.add(cmd)
	which.add(cmd)
	cmd.Flags().StringVar(&keep, "keep", "", "delete what is no longer needed afterwards: keep 30d, 4w, 6m, or a number of dumps of this --name")
	cmd.Flags().StringVar(&recipients, "recipients", os.Getenv(envRecipients), "encrypt for the age recipients in that `file` ($"+envRecipients+")")
	cmd.Flags().StringVar(&terminationLog, "termination-log", "", "a `file` to leave the result in")

	return cmd
}

// readLines are the lines of a file; none without one. Comments stay: whoever parses the lines knows them.
func readLines(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}

	content, err := os.ReadFile(file) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}

	return strings.Split(strings.TrimSpace(string(content)), "\n"), nil
}

// memoryLimit of our own process, in bytes: chunks that were sent are let go before it is reached. What is needed is some 80 MiB.
const memoryLimit = 100 << 20

// takeDump gives the manifest for what is done with the dump next.
func takeDump(cmd *cobra.Command, in archiveapi.Dump) (result archiveapi.DumpResult, m *dump.Manifest, err error) {
	debug.SetMemoryLimit(memoryLimit)

	ctx := cmd.Context()

	source, err := programs(cmd).Describe(ctx, in.Source)
	if err != nil {
		return result, nil, err
	}

	o := dump.TakeOptions{
		About: dump.Manifest{
			Name: in.Name, Engine: source.Engine, Host: source.Host, Database: source.Database, Program: source.Program, Tool: "caretaker " + version.String(),
		},
		Clock:   realClock(),
		Produce: func(ctx context.Context, w io.Writer) error { return programs(cmd).Dump(ctx, in.Source, w) },
	}

	if len(in.Recipients) > 0 {
		if o.Recipients, err = crypt.ParseRecipients(strings.Join(in.Recipients, "\n")); err != nil {
			return result, nil, err
		}
	}

	if o.Store, err = openDumps(ctx, in); err != nil {
		return result, nil, err
	}

	m, err = dump.Take(ctx, o)
	if err != nil {
		return result, nil, err
	}

	// What the store cannot give back is no dump. Others are let go only after that.
	if err := dump.ReadBack(ctx, o.Store, m.ID); err != nil {
		return result, nil, errors.Join(fmt.Errorf("the dump was stored, and cannot be read back: %w", err), dump.Delete(context.WithoutCancel(ctx), o.Store, m.ID))
	}

	result = archiveapi.DumpResult{
		ID: m.ID, Database: m.Database, Started: m.Started, Completed: m.Completed, DataBytes: m.DataBytes, StoredBytes: m.StoredBytes,
	}

	// The dump is there, whatever becomes of the others.
	expiry, err := dump.Expire(ctx, o.Store, in.Name, in.Retention, realClock().Now())
	if err != nil {
		result.Warning = "the retention could not be followed: " + err.Error()
	}

	if expiry != nil {
		result.Kept, result.Deleted = len(expiry.Kept), len(expiry.Deleted)
	}

	return result, m, nil
}

func dumpText(r archiveapi.DumpResult) string {
	text := fmt.Sprintf("dump %s of %s: %s, %s stored, in %s; %d kept, %d deleted", r.ID, cmp.Or(r.Database, "all databases"), archiveapi.Size(r.DataBytes),
		archiveapi.Size(r.StoredBytes), r.Completed.Sub(r.Started).Round(time.Millisecond), r.Kept, r.Deleted)
	if r.Warning != "" {
		text += "\nwarning: " + r.Warning
	}

	if r.Test != nil {
		text += "\n" + r.Test.String()
	}

	return text
}

const (
	// maxLastWords is below what the kubelet keeps of a container's last words, with the rest of the JSON.
	maxLastWords = 2500
	// maxCheckWords of the names of checks, 63 bytes each.
	maxCheckWords = 10
)

// writeLastWords leaves the result where the kubelet takes it from for the pod's status.
func writeLastWords(file string, result archiveapi.DumpResult) error {
	result.Error = result.Error[:min(len(result.Error), maxLastWords)]
	result.Warning = result.Warning[:min(len(result.Warning), maxLastWords/5)]

	// With a test there is no error.
	if result.Test != nil {
		test := *result.Test
		test.Error, test.Checks = test.Error[:min(len(test.Error), maxLastWords/2)], test.Checks[:min(len(test.Checks), maxCheckWords)]
		result.Test = &test
	}

	said, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}

	return os.WriteFile(file, said, 0o600)
}

func newDumpsCommand() *cobra.Command {
	where := &dumpStoreFlags{}
	cmd := &cobra.Command{
		Use:   "dumps",
		Short: "List the dumps of a store",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, store, err := where.open(cmd.Context())
			if err != nil {
				return err
			}

			ids, err := dump.IDs(cmd.Context(), store)
			if err != nil {
				return err
			}

			var found []*dump.Manifest

			for _, id := range ids {
				m, err := dump.Load(cmd.Context(), store, id)
				if err != nil {
					return err
				}

				m.Chunks = nil // what a list needs not
				found = append(found, m)
			}

			return where.result(cmd.OutOrStdout(), found, dumpTable(found))
		},
	}
	where.add(cmd)
	cmd.AddCommand(newDumpsVerifyCommand(), newDumpsTestRestoreCommand())

	return cmd
}

func dumpTable(found []*dump.Manifest) string {
	if len(found) == 0 {
		return "no dumps"
	}

	var out strings.Builder

	table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "DUMP\tOF\tENGINE\tDATABASE\tCOMPLETED\tSIZE\tSTORED\tENCRYPTED") // memory

	for _, m := range found {
		encrypted := "no"
		if len(m.Key) > 0 {
			encrypted = "yes"
		}

		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, dash(m.Name), m.Engine, dash(m.Database), m.Completed.Format(time.RFC3339),
			archiveapi.Size(m.DataBytes), archiveapi.Size(m.StoredBytes), encrypted) // memory
	}

	_ = table.Flush() // memory

	return strings.TrimSuffix(out.String(), "\n")
}

func newDumpsVerifyCommand() *cobra.Command {
	where := &dumpStoreFlags{}
	cmd := &cobra.Command{
		Use:   "verify DUMP|latest",
		Short: "Read a dump back, and check every checksum; nothing is restored",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			stored, err := where.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}

			if err := stored.verify(cmd.Context()); err != nil {
				return err
			}

			m := stored.manifest

			return where.result(cmd.OutOrStdout(), map[string]string{"verified": m.ID}, "dump "+m.ID+" is whole: "+archiveapi.Size(m.DataBytes)+" read back")
		},
	}
	where.add(cmd)

	return cmd
}

func newDumpRestoreCommand() *cobra.Command {
	var (
		where dumpStoreFlags
		which dumpServerFlags
	)

	cmd := &cobra.Command{
		Use:   "dump-restore DUMP|latest [-- ARGUMENT…]",
		Short: "Load a dump into a database, with the database's own program",
		Long: "Load a dump into a database, with the database's own program: pg_restore, mysql or mongorestore.\n" +
			"All of the dump is read and checked first. What is in the database stays: a table that is there already ends the restore,\n" +
			"and PostgreSQL then undoes all of it. Arguments after -- go to the program, such as --no-owner for pg_restore.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			stored, err := where.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}

			m := stored.manifest
			target := restoreTarget(stored.in, which.DumpServer, m)

			// What is damaged is not begun with: not every database can undo half a restore.
			if err := stored.verify(cmd.Context()); err != nil {
				return err
			}

			if err := programs(cmd).Restore(cmd.Context(), target, m.Database, args[1:], stored.read); err != nil {
				return err
			}

			return where.result(cmd.OutOrStdout(), map[string]string{"restored": m.ID}, "restored dump "+m.ID+", taken at "+m.Completed.Format(time.RFC3339))
		},
	}
	where.add(cmd)
	which.add(cmd)

	return cmd
}

// restoreTarget is what the environment names, or the flags; the engine is the dump's.
func restoreTarget(in archiveapi.Dump, flags archiveapi.DumpServer, m *dump.Manifest) archiveapi.DumpServer {
	target := flags

	switch {
	case in.Target != nil:
		target = *in.Target
	case in.Source.Engine != "":
		target = in.Source
	}

	target.Engine = m.Engine

	return target
}
