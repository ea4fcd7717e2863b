package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/caretaker-dev/caretaker/images/internal/debian"
	"github.com/caretaker-dev/caretaker/images/internal/rootfs"
)

// keyringSuite signs with keys that a machine one release older knows, and
// brings the keys of the releases after it.
const keyringSuite = "trixie"

// archive opens a suite and brings its index up to date. Without the network,
// an index that was fetched before serves, with a printed word.
func (b *Builder) archive(ctx context.Context, suite, architecture string) (*debian.Archive, error) {
	archive, err := b.suite(suite, architecture)
	if err != nil {
		return nil, err
	}
	if err := archive.Prepare(nil); err != nil {
		return nil, err
	}
	b.Progress.Printf("asking the Debian mirror about %s", suite)
	err = archive.Update(ctx)
	if errors.Is(err, debian.ErrUnknownKey) && suite != keyringSuite {
		err = b.updateWithNewerKeys(ctx, archive)
	}
	switch {
	case err == nil:
		return archive, nil
	case ctx.Err() == nil && !errors.Is(err, debian.ErrUnknownKey) && archive.HasIndex():
		b.Progress.Printf("CANNOT REACH the mirror, going by the index that was fetched before: %v", err)
		return archive, nil
	default:
		return nil, err
	}
}

func (b *Builder) suite(suite, architecture string) (*debian.Archive, error) {
	mirror, keyring := b.Mirror, b.Keyring
	if mirror == "" {
		source, err := debian.FindMirror(os.DirFS("/etc/apt"))
		if err != nil {
			return nil, err
		}
		mirror = source.URIs[0]
		if keyring == "" {
			keyring = source.SignedBy
		}
	}
	if keyring == "" {
		keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	}
	if _, err := os.Stat(keyring); err != nil {
		return nil, fmt.Errorf("the Debian archive's keys are missing (apt-get install debian-archive-keyring, or --keyring FILE): %w", err)
	}
	return &debian.Archive{
		Dir:          filepath.Join(b.Cache.Dir, "apt", suite),
		Mirror:       mirror,
		Keyring:      keyring,
		Suite:        suite,
		Architecture: architecture,
	}, nil
}

// updateWithNewerKeys serves a machine whose keyring is older than the suite:
// the keyring package of a release that the machine's keys do sign for has the
// newer keys, so the chain of signatures is unbroken.
func (b *Builder) updateWithNewerKeys(ctx context.Context, archive *debian.Archive) error {
	b.Progress.Printf("the keyring of this machine is older than %s: taking newer keys from %s, whose signature it can check",
		archive.Suite, keyringSuite)
	trusted, err := b.suite(keyringSuite, archive.Architecture)
	if err != nil {
		return err
	}
	trusted.Dir = archive.Dir + "-keyring"
	if err := trusted.Prepare(nil); err != nil {
		return err
	}
	if err := trusted.Update(ctx); err != nil {
		return err
	}
	names := []string{"debian-archive-keyring"}
	packages, err := trusted.Resolve(ctx, names)
	if err != nil {
		return err
	}
	if err := trusted.Download(ctx, names, packages); err != nil {
		return err
	}
	archive.Keyring = filepath.Join(trusted.Dir, "debian-archive-keyring.gpg")
	if err := extractKeyring(ctx, packages, trusted.Dir, archive.Keyring); err != nil {
		return err
	}
	if err := archive.Prepare(nil); err != nil {
		return err
	}
	return archive.Update(ctx)
}

func extractKeyring(ctx context.Context, packages []debian.Package, dir, to string) error {
	tree, err := rootfs.New(dir)
	if err != nil {
		return err
	}
	defer func() { _ = tree.Close() }()
	for _, pkg := range packages {
		if err := pkg.Contents(ctx, tree.AddTar); err != nil {
			return err
		}
	}
	keyring, err := tree.Open("usr/share/keyrings/debian-archive-keyring.gpg")
	if err != nil {
		return fmt.Errorf("finding the keys in the keyring package: %w", err)
	}
	text, err := io.ReadAll(keyring)
	if err != nil {
		return fmt.Errorf("reading the keys: %w", err)
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		return fmt.Errorf("placing the keys: %w", err)
	}
	return nil
}
