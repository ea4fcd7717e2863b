package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
	"github.com/caretaker-dev/caretaker/internal/naming"
)

// Layout is where everything is.
type Layout struct {
	// VolumeDir is the mount point of the data volume; DataDir (PGDATA) and StateDir (ours) lie in it.
	VolumeDir string
	DataDir   string
	StateDir  string
	// ConfigDir, CertificatesDir, CredentialsDir and ExternalDir are mounted from ConfigMaps and Secrets.
	ConfigDir       string
	CertificatesDir string
	CredentialsDir  string
	ExternalDir     string
	// SocketDir is where clients look for PostgreSQL's Unix socket.
	SocketDir string
	// RunDir is memory-backed: generated configuration, copies of certificates, the server's log.
	RunDir string
	// ListenAddress of PostgreSQL.
	ListenAddress string
	// PostgresPort, StatusAddress and MetricsAddress are what is served on.
	PostgresPort   int
	StatusAddress  string
	MetricsAddress string
}

// Default is the layout in a pod.
func Default() Layout {
	return Layout{
		VolumeDir:       instanceapi.VolumeDir,
		DataDir:         instanceapi.DataDir,
		StateDir:        instanceapi.StateDir,
		ConfigDir:       instanceapi.ConfigDir,
		CertificatesDir: instanceapi.CertificatesDir,
		CredentialsDir:  instanceapi.CredentialsDir,
		ExternalDir:     instanceapi.ExternalDir,
		SocketDir:       instanceapi.SocketDir,
		RunDir:          instanceapi.RunDir,
		ListenAddress:   "*",
		PostgresPort:    naming.PortPostgreSQL,
		StatusAddress:   fmt.Sprintf(":%d", naming.PortStatus),
		MetricsAddress:  fmt.Sprintf(":%d", naming.PortMetrics),
	}
}

// ConfDir holds the generated configuration, outside PGDATA so that no copy of PGDATA carries it.
func (l Layout) ConfDir() string { return filepath.Join(l.RunDir, "conf") }

// ConfFile is the generated postgresql.conf.
func (l Layout) ConfFile() string { return filepath.Join(l.ConfDir(), "postgresql.conf") }

// HBAFile is the generated pg_hba.conf.
func (l Layout) HBAFile() string { return filepath.Join(l.ConfDir(), "pg_hba.conf") }

// IdentFile is the generated pg_ident.conf.
func (l Layout) IdentFile() string { return filepath.Join(l.ConfDir(), "pg_ident.conf") }

// OwnSocketDir is where PostgreSQL's Unix socket really is. Clients come by a link in SocketDir, while they may.
func (l Layout) OwnSocketDir() string { return filepath.Join(l.SocketDir, ".caretaker") }

// TLSDir holds copies of the certificates.
func (l Layout) TLSDir() string { return filepath.Join(l.RunDir, "tls") }

// LogDir is where PostgreSQL's logging collector writes.
func (l Layout) LogDir() string { return filepath.Join(l.RunDir, "log") }

// ArchiverSocket is where the archiver listens.
func (l Layout) ArchiverSocket() string { return filepath.Join(l.RunDir, "archiver.sock") }

// SpoolDir keeps WAL that recovery will ask for next.
func (l Layout) SpoolDir() string { return filepath.Join(l.StateDir, "wal-spool") }

// EmptySpool before a recovery begins: nothing of an earlier one may be taken for its own, also while there is no archiver yet.
func (l Layout) EmptySpool() error {
	entries, err := os.ReadDir(l.SpoolDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("empty the spool: %w", err)
	}

	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(l.SpoolDir(), entry.Name())); err != nil {
			return fmt.Errorf("empty the spool: %w", err)
		}
	}

	return nil
}

// Prepare makes the folders that are ours.
func (l Layout) Prepare() error {
	for _, dir := range []string{l.StateDir, l.ConfDir(), l.TLSDir(), l.LogDir(), l.OwnSocketDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make our folders: %w (the pod's user needs to own the volume: check fsGroup)", err)
		}
	}

	return nil
}
