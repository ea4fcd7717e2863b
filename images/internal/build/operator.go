package build

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/caretaker-dev/caretaker/images/internal/oci"
	"github.com/caretaker-dev/caretaker/images/internal/recipe"
	"github.com/caretaker-dev/caretaker/images/internal/rootfs"
)

// Programs are the operator image's own: path in the image → built program.
type Programs map[string]string

// Operator makes the operator's image: the base layer and one of programs, so
// that a changed program leaves the base where it is.
func (b *Builder) Operator(ctx context.Context, programs Programs, to Output) error {
	return b.programs(ctx, recipe.Operator().Name, programs, operatorConfig(recipe.Operator()), to)
}

// Program makes an image of one static program, which runs as the operator's
// does: not as root, with nothing but certificates beside it.
func (b *Builder) Program(ctx context.Context, name, program string, to Output) error {
	config := operatorConfig(recipe.Operator())
	config.Entrypoint = []string{"/" + name}
	config.Labels = map[string]string{"org.opencontainers.image.title": name}
	return b.programs(ctx, name, Programs{name: program}, config, to)
}

// programs makes an image of the base layer and one of programs.
func (b *Builder) programs(ctx context.Context, name string, programs Programs, config v1.Config, to Output) error {
	for _, program := range programs {
		if err := checkStatic(program); err != nil {
			return err
		}
	}
	from := recipe.Operator()
	base, err := b.Base(ctx, from)
	if err != nil {
		return err
	}
	layer, remove, err := smallLayer(func(tree *rootfs.Tree) error { return addPrograms(tree, programs) })
	if err != nil {
		return err
	}
	defer remove()
	digest, err := layer.DiffID()
	if err != nil {
		return err
	}
	// The second tag tells builds apart.
	to.Names = append(to.Names, recipe.Domain+name+":"+from.Track, recipe.Domain+name+":"+digest.Hex[:12])
	return b.write(to, config, []*oci.Layer{base.Layer, layer})
}

func operatorConfig(from recipe.Recipe) v1.Config {
	return v1.Config{
		User:       fmt.Sprintf("%d:%d", from.User.UID, from.User.GID),
		Entrypoint: []string{"/caretaker"},
		Env:        []string{"PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		WorkingDir: "/",
		Labels:     map[string]string{"org.opencontainers.image.title": from.Name},
	}
}

func addPrograms(tree *rootfs.Tree, programs Programs) error {
	for name, program := range programs {
		if err := addProgram(tree, name, program); err != nil {
			return err
		}
	}
	return nil
}

func addProgram(tree *rootfs.Tree, name, program string) error {
	file, err := os.Open(program) //nolint:gosec // the program that the user names
	if err != nil {
		return fmt.Errorf("opening a program for the image: %w", err)
	}
	defer func() { _ = file.Close() }()
	return tree.AddFile(name, 0o755, rootfs.Owner{}, file)
}

func addFiles(tree *rootfs.Tree, files map[string]recipe.File) error {
	for name, file := range files {
		if err := tree.AddFile(name, file.Mode, rootfs.Owner{}, strings.NewReader(file.Text)); err != nil {
			return err
		}
	}
	return nil
}

// ErrNotStatic says that a program would not start in an image without libc.
var ErrNotStatic = errors.New("is dynamically linked and would not start in the image; build it with CGO_ENABLED=0")

func checkStatic(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("%s is not a Linux program (build it first): %w", program, err)
	}
	defer func() { _ = file.Close() }()
	if slices.ContainsFunc(file.Progs, func(segment *elf.Prog) bool { return segment.Type == elf.PT_INTERP }) {
		return fmt.Errorf("%s %w", program, ErrNotStatic)
	}
	return nil
}
