package parts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/caretaker-dev/caretaker/devcluster/internal/progress"
)

// temporaryPrefix begins the names of folders in which something is being built.
const temporaryPrefix = "building-"

// Built says where each part's programs are.
type Built map[string]string

// Program is the path of a part's program.
func (b Built) Program(part, name string) string { return filepath.Join(b[part], name) }

// Builder builds parts from the modules below Sources into Cache.
type Builder struct {
	Sources, Cache string
	Progress       *progress.Printer
}

// Build builds the parts that the cache lacks and tells where all of them are.
func (b Builder) Build(ctx context.Context, parts []Part) (Built, error) {
	built := Built{}
	var missing []Part
	for _, part := range parts {
		dir, err := b.dir(part)
		if err != nil {
			return nil, err
		}
		built[part.Name] = dir
		if _, err := os.Stat(dir); err != nil {
			missing = append(missing, part)
		}
	}
	if len(missing) == 0 {
		return built, nil
	}
	unlock, err := b.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	b.Progress.Line("Building what is not in %s yet:", b.Cache)
	for _, part := range missing {
		if err := b.buildPart(ctx, part, built[part.Name]); err != nil {
			return nil, err
		}
	}
	return built, nil
}

// lock keeps two runs from compiling the same at the same time.
func (b Builder) lock() (unlock func(), err error) {
	if err := os.MkdirAll(b.Cache, 0o750); err != nil {
		return nil, fmt.Errorf("build cache: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(b.Cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("build cache: %w", err)
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		b.Progress.Line("Waiting for another devcluster that is building ...")
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
			return nil, fmt.Errorf("build cache: locking: %w", err)
		}
	}
	// What a killed run was building is of no use: whoever holds the lock is the only one.
	abandoned, err := filepath.Glob(filepath.Join(b.Cache, temporaryPrefix+"*"))
	for _, dir := range abandoned {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("build cache: %w", errors.Join(err, file.Close()))
	}
	return func() { _ = file.Close() }, nil
}

func (b Builder) buildPart(ctx context.Context, part Part, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil // Another run built it while this one waited for the lock.
	}
	temporary, err := os.MkdirTemp(b.Cache, temporaryPrefix)
	if err != nil {
		return fmt.Errorf("build cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	err = b.Progress.LongStep("building "+part.About+" "+part.Version, part.Expected, func() error {
		return b.compile(ctx, part, temporary)
	})
	if err != nil {
		return err
	}
	for _, name := range part.Links {
		if err := os.Symlink(part.Target, filepath.Join(temporary, name)); err != nil {
			return fmt.Errorf("build cache: %w", err)
		}
	}
	if err := os.Rename(temporary, dir); err != nil {
		return fmt.Errorf("build cache: %w", err)
	}
	return nil
}

func (b Builder) compile(ctx context.Context, part Part, into string) error {
	// With -trimpath, as everything else here is compiled: packages that several programs have in common are compiled once.
	args := append([]string{"build", "-mod=readonly", "-buildvcs=false", "-trimpath"}, part.Flags...)
	args = append(args, "-o", filepath.Join(into, part.Output)+strings.Repeat("/", 1-min(1, len(part.Output))))
	_, err := b.goCommand(ctx, part, append(args, part.Packages...)...)
	return err
}

// goCommand runs the go command in the part's module, and returns what it prints.
func (b Builder) goCommand(ctx context.Context, part Part, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.Sources, part.Name)
	cgo := "0"
	if part.Cgo {
		cgo = "1"
	}
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo, "GOFLAGS=", "GOWORK=off")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", fmt.Errorf("building %s needs the Go toolchain: %w", part.About, err)
		}
		return "", fmt.Errorf("building %s in %s: %w\n%s", part.About, cmd.Dir, err, output.String())
	}
	return strings.TrimSpace(output.String()), nil
}

// Module is the folder of a module that a part is built from.
func (b Builder) Module(ctx context.Context, part Part, module string) (string, error) {
	if _, err := b.goCommand(ctx, part, "mod", "download", module); err != nil {
		return "", err
	}
	return b.goCommand(ctx, part, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module)
}

// dir is the folder of the part as it is now: its name follows from everything that
// goes into the build.
func (b Builder) dir(part Part) (string, error) {
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "%s %+v\n", runtime.GOARCH, part)
	source := os.DirFS(filepath.Join(b.Sources, part.Name))
	err := fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(source, path)
		_, _ = fmt.Fprintf(hash, "%s %d\n", path, len(content))
		_, _ = hash.Write(content)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("sources of %s: %w", part.Name, err)
	}
	key := hex.EncodeToString(hash.Sum(nil))[:10]
	return filepath.Join(b.Cache, part.Name+"-"+part.Version+"-"+key), nil
}
