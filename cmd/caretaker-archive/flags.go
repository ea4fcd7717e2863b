package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/caretaker-dev/caretaker/internal/archive/basebackup"
	"github.com/caretaker-dev/caretaker/internal/archiveapi"
	"github.com/caretaker-dev/caretaker/internal/storeconfig"
)

// The environment says what no flag does.
const (
	envStore      = "CARETAKER_STORE"
	envConfig     = "CARETAKER_ARCHIVE_CONFIG"
	envServer     = "CARETAKER_SERVER"
	envIdentities = "CARETAKER_AGE_IDENTITIES_FILE"
	envRecipients = "CARETAKER_AGE_RECIPIENTS_FILE"
)

// storeFlags say which store is meant, and what opens that which is encrypted.
type storeFlags struct {
	store, endpoint, region, caFile string
	identities                      string
}

func (f *storeFlags) add(cmd *cobra.Command, what string) {
	flags := cmd.Flags()
	flags.StringVar(&f.store, "store", os.Getenv(envStore), "where "+what+": s3://bucket/path, gs://bucket/path, "+
		"https://account.blob.core.windows.net/container/path or file:///path ($"+envStore+")")
	flags.StringVar(&f.identities, "identities", os.Getenv(envIdentities), "a `file` with age identities that open what is encrypted ($"+envIdentities+")")
	flags.StringVar(&f.endpoint, "endpoint", "", "the `URL` of a store that is not the provider's own")
	flags.StringVar(&f.region, "region", "", "S3's region")
	flags.StringVar(&f.caFile, "ca-file", "", "certificates (PEM) to trust beside the system's")
}

func (f *storeFlags) check() error {
	if f.store == "" {
		return fmt.Errorf("which store? give --store, or set %s", envStore)
	}

	return nil
}

func (f *storeFlags) storeConfig() (storeconfig.Config, error) {
	config, err := storeconfig.ParseURL(f.store)
	config.Endpoint = cmp.Or(f.endpoint, config.Endpoint)
	config.Region, config.CAFile = f.region, f.caFile

	return config, err
}

// archiveFlags say which archive is meant.
type archiveFlags struct {
	storeFlags

	config, server string
}

func (f *archiveFlags) add(cmd *cobra.Command) {
	f.storeFlags.add(cmd, "the archive is")

	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", os.Getenv(envConfig), "a JSON `file` with the archive's settings, instead of the other flags ($"+envConfig+")")
	flags.StringVar(&f.server, "server", os.Getenv(envServer), "the server's `name` in the archive ($"+envServer+")")
}

// target of the flags, or of the file that they name.
func (f *archiveFlags) target() (archiveapi.Target, error) {
	if f.config != "" {
		return readTarget(f.config)
	}

	if err := f.check(); err != nil {
		return archiveapi.Target{}, err
	}

	if f.server == "" {
		return archiveapi.Target{}, fmt.Errorf("which server? give --server, or set %s: its name is the first part of all keys below the store's path", envServer)
	}

	config, err := f.storeConfig()

	return archiveapi.Target{Store: config, Server: f.server, IdentitiesFile: f.identities}, err
}

func readTarget(file string) (archiveapi.Target, error) {
	var target archiveapi.Target

	content, err := os.ReadFile(file) //nolint:gosec // the user's own file
	if err != nil {
		return target, err
	}

	if err := json.Unmarshal(content, &target); err != nil {
		return target, fmt.Errorf("%s: %w", file, err)
	}

	return target, nil
}

// workFlags are those of the commands that may take long.
type workFlags struct {
	archiveFlags

	workers int
	asJSON  bool
}

func (f *workFlags) add(cmd *cobra.Command) {
	f.archiveFlags.add(cmd)

	flags := cmd.Flags()
	flags.IntVar(&f.workers, "workers", basebackup.DefaultWorkers, "how many packs to work on at a time; the memory needed is about twice as many packs")
	flags.BoolVar(&f.asJSON, "json", false, "print progress and the result as lines of JSON")
}

// storingFlags say how what is stored is written, where the archive's settings do not.
type storingFlags struct {
	compression, recipients string
}

func (f *storingFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.compression, "compression", "", "zstd (the default), gzip, lz4, snappy or none")
	flags.StringVar(&f.recipients, "recipients", os.Getenv(envRecipients), "encrypt for the age recipients in that `file` ($"+envRecipients+")")
}

// apply the flags that are set.
func (f *storingFlags) apply(target archiveapi.Target) archiveapi.Target {
	target.Compression = cmp.Or(f.compression, target.Compression)
	target.RecipientsFile = cmp.Or(f.recipients, target.RecipientsFile)

	return target
}
