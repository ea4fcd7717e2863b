package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/utils/clock"

	"github.com/caretaker-dev/caretaker/images/internal/build"
	"github.com/caretaker-dev/caretaker/images/internal/recipe"
)

const usage = `Usage:
  images operator --out FILE.tar --binary FILE --instance FILE --archive FILE --wal FILE [--tag NAME]…
  images postgresql --major 15|17|18 --out FILE.tar [--like official|cnpg] [--variant NAME] [--tag NAME]…
  images mysql --out FILE.tar [--tag NAME]…
  images valkey --out FILE.tar [--tag NAME]…
  images nginx --out FILE.tar [--tag NAME]…
  images program --name NAME --out FILE.tar --binary FILE [--tag NAME]…

Common flags:
  --tag NAME      a further name for the image (repository:tag); may be repeated
  --refresh       ask the Debian mirror for newer packages although the cache has the image
  --cache DIR     default: caretaker/images in the user's cache directory
  --mirror URL    default: the Debian mirror of this machine's apt sources
  --keyring FILE  default: the Debian archive keyring of this machine
`

var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(os.Stderr, usage)
	default:
		fmt.Fprintf(os.Stderr, "images: %v\n", err)
		if errors.Is(err, errUsage) {
			fmt.Fprint(os.Stderr, "\n"+usage)
		}
		os.Exit(1)
	}
}

// options are the command line's.
type options struct {
	builder          build.Builder
	output           build.Output
	cache            string
	major            int
	variant          recipe.Variant
	binary, instance string
	name             string
	archive          string
	walHelper        string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: name an image", errUsage)
	}
	opts, err := parse(args[0], args[1:], stderr)
	if err != nil {
		return err
	}
	if opts.builder.Cache, err = build.OpenCache(opts.cache); err != nil {
		return err
	}
	opts.builder.Progress = build.NewProgress(stdout, clock.RealClock{})
	if err := os.MkdirAll(filepath.Dir(opts.output.File), 0o750); err != nil {
		return fmt.Errorf("creating the output's directory: %w", err)
	}
	switch args[0] {
	case "operator":
		programs := build.Programs{
			"caretaker": opts.binary, "caretaker-instance": opts.instance, "caretaker-archive": opts.archive, "caretaker-wal": opts.walHelper,
		}
		return opts.builder.Operator(ctx, programs, opts.output)
	case "mysql":
		return opts.builder.Image(ctx, recipe.MySQL(), recipe.Variant{}, opts.output)
	case "valkey":
		return opts.builder.Image(ctx, recipe.Valkey(), recipe.Variant{}, opts.output)
	case "nginx":
		return opts.builder.Image(ctx, recipe.Nginx(), recipe.Variant{}, opts.output)
	case "program":
		return opts.builder.Program(ctx, opts.name, opts.binary, opts.output)
	default:
		from, err := recipe.PostgreSQL(opts.major)
		if err != nil {
			return err
		}
		return opts.builder.Image(ctx, from, opts.variant, opts.output)
	}
}

func parse(command string, args []string, stderr io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {}
	flags.StringVar(&opts.output.File, "out", "", "")
	flags.StringVar(&opts.cache, "cache", "", "")
	flags.StringVar(&opts.builder.Mirror, "mirror", "", "")
	flags.StringVar(&opts.builder.Keyring, "keyring", "", "")
	flags.BoolVar(&opts.builder.Refresh, "refresh", false, "")
	flags.Func("tag", "", func(name string) error {
		opts.output.Names = append(opts.output.Names, name)
		return nil
	})
	var like string
	required := map[string]*string{"out": &opts.output.File}
	switch command {
	case "operator":
		for name, file := range map[string]*string{
			"binary": &opts.binary, "instance": &opts.instance, "archive": &opts.archive, "wal": &opts.walHelper,
		} {
			flags.StringVar(file, name, "", "")
			required[name] = file
		}
	case "postgresql":
		flags.IntVar(&opts.major, "major", 17, "")
		flags.StringVar(&like, "like", "", "")
		flags.StringVar(&opts.variant.Name, "variant", "", "")
	case "program":
		flags.StringVar(&opts.name, "name", "", "")
		flags.StringVar(&opts.binary, "binary", "", "")
		required["name"], required["binary"] = &opts.name, &opts.binary
	case "mysql", "valkey", "nginx":
	case "-h", "-help", "--help", "help":
		return opts, flag.ErrHelp
	default:
		return opts, fmt.Errorf("%w: there is no image %q", errUsage, command)
	}
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	for _, name := range []string{"out", "name", "binary", "instance", "archive", "wal"} {
		if value, ok := required[name]; ok && *value == "" {
			return opts, fmt.Errorf("%w: --%s is missing", errUsage, name)
		}
	}
	opts.variant.Like = recipe.Layout(like)
	if like != "" && opts.variant.Like != recipe.Official && opts.variant.Like != recipe.CloudNativePG {
		return opts, fmt.Errorf("%w: --like is %s or %s, not %q", errUsage, recipe.Official, recipe.CloudNativePG, like)
	}
	return opts, nil
}
