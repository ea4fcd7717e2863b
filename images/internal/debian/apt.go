package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// ErrUnknownKey says that the archive is signed by keys that the keyring lacks.
var ErrUnknownKey = errors.New("the suite is signed by keys that the Debian keyring of this machine does not have")

// Archive is one suite of the Debian archive, seen through apt.
type Archive struct {
	// Dir holds apt's lists and the downloaded packages; it may be kept.
	Dir string
	// Mirror is the archive's address, as in an apt source.
	Mirror string
	// Keyring is the file with the keys that the suite must be signed by.
	Keyring string
	// Suite is the release's code name, for example trixie.
	Suite string
	// Architecture is Debian's name for it, for example amd64.
	Architecture string
}

// Package is one binary package that the archive's signed index names.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	// Path is where the downloaded .deb lies.
	Path string `json:"-"`
}

// Architecture returns Debian's name for this machine's architecture. It fails
// where apt and dpkg are missing.
func Architecture(ctx context.Context) (string, error) {
	for _, program := range []string{"apt-get", "apt-cache", "dpkg", "dpkg-deb", "gpgv"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%s was not found: the images are made of Debian packages, "+
				"so this needs a Debian (or Ubuntu) machine or container: %w", program, err)
		}
	}
	out, err := exec.CommandContext(ctx, "dpkg", "--print-architecture").Output()
	if err != nil {
		return "", fmt.Errorf("asking dpkg for the architecture: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Prepare writes apt's configuration. Packages named in omit count as
// installed already, so neither they nor their dependencies are chosen.
func (a *Archive) Prepare(omit []string) error {
	for _, dir := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.Dir, dir), 0o750); err != nil {
			return fmt.Errorf("preparing apt's directories: %w", err)
		}
	}
	var status strings.Builder
	for _, name := range omit {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nVersion: 99:99\n"+
			"Architecture: %s\nMulti-Arch: allowed\nMaintainer: none\nDescription: left out\n\n", name, a.Architecture)
	}
	files := map[string]string{
		"status":       status.String(),
		"sources.list": fmt.Sprintf("deb [arch=%s signed-by=%s] %s %s main\n", a.Architecture, a.Keyring, a.Mirror, a.Suite),
		"apt.conf":     a.config(),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(a.Dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("writing apt's configuration: %w", err)
		}
	}
	return nil
}

// config overrides what names places and hooks. Everything else of the
// machine's configuration, such as a proxy, holds.
func (a *Archive) config() string {
	return fmt.Sprintf(`Dir::State "%[1]s";
Dir::State::lists "%[1]s/lists";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s";
Dir::Cache::archives "%[1]s/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "/dev/null";
APT::Sandbox::User "root";
#clear APT::Architectures;
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
APT::Install-Recommends "false";
APT::Install-Suggests "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::AllowInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
`, a.Dir, a.Architecture)
}

// Update fetches the suite's signed index. It returns ErrUnknownKey when the
// signature's keys are not in the keyring. apt keeps the earlier index when
// this fails.
func (a *Archive) Update(ctx context.Context) error {
	out, err := a.run(ctx, "apt-get", "-q", "--error-on=any", "update")
	if err != nil && strings.Contains(out, "NO_PUBKEY") {
		return fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	return err
}

// HasIndex says whether an earlier Update left an index.
func (a *Archive) HasIndex() bool {
	matches, err := filepath.Glob(filepath.Join(a.Dir, "lists", "*_Packages*"))
	return err == nil && len(matches) > 0
}

// Resolve returns the named packages with their dependencies, sorted by name,
// as the index has them. Nothing is downloaded yet.
func (a *Archive) Resolve(ctx context.Context, names []string) ([]Package, error) {
	out, err := a.run(ctx, "apt-get", append([]string{"-qq", "--simulate", "install"}, names...)...)
	if err != nil {
		return nil, err
	}
	var wanted []string
	for line := range strings.Lines(out) {
		// Inst libc6 (2.41-12 Debian:13.7/stable [amd64])
		fields := strings.Fields(line)
		if len(fields) >= 3 && fields[0] == "Inst" {
			wanted = append(wanted, fields[1]+"="+strings.TrimPrefix(fields[2], "("))
		}
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("apt chose no packages for %s", strings.Join(names, " "))
	}
	out, err = a.run(ctx, "apt-cache", append([]string{"show"}, wanted...)...)
	if err != nil {
		return nil, err
	}
	return a.parsePackages(out, wanted)
}

func (a *Archive) parsePackages(records string, wanted []string) ([]Package, error) {
	found := map[string]Package{}
	for _, record := range ParseControl(records) {
		pkg := Package{Name: record["package"], Version: record["version"], SHA256: record["sha256"]}
		file := fmt.Sprintf("%s_%s_%s.deb", pkg.Name, strings.ReplaceAll(pkg.Version, ":", "%3a"), record["architecture"])
		pkg.Path = filepath.Join(a.Dir, "archives", file)
		found[pkg.Name+"="+pkg.Version] = pkg
	}
	packages := make([]Package, 0, len(wanted))
	for _, key := range wanted {
		pkg, ok := found[key]
		if !ok || pkg.SHA256 == "" {
			return nil, fmt.Errorf("the index of %s has no checksum for %s", a.Suite, key)
		}
		packages = append(packages, pkg)
	}
	sortPackages(packages)
	return packages, nil
}

// Download fetches the packages that are not there yet, and checks every one
// against the signed index, those that were there included.
func (a *Archive) Download(ctx context.Context, names []string, packages []Package) error {
	if verify(packages) == nil {
		return nil
	}
	for _, pkg := range packages {
		// apt trusts a file of the right size that is there already.
		if _, err := os.Stat(pkg.Path); err == nil && pkg.verify() != nil {
			if err := os.Remove(pkg.Path); err != nil {
				return fmt.Errorf("removing a damaged package: %w", err)
			}
		}
	}
	args := append([]string{"-qq", "--yes", "--download-only", "install"}, names...)
	if _, err := a.run(ctx, "apt-get", args...); err != nil {
		return err
	}
	return verify(packages)
}

func verify(packages []Package) error {
	for _, pkg := range packages {
		if err := pkg.verify(); err != nil {
			return err
		}
	}
	return nil
}

func (p Package) verify() error {
	file, err := os.Open(p.Path)
	if err != nil {
		return fmt.Errorf("package %s was not downloaded: %w", p.Name, err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("reading package %s: %w", p.Name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("package %s has checksum %s, the signed index says %s", p.Name, got, p.SHA256)
	}
	return nil
}

// Contents calls read with the package's files as a tar stream.
func (p Package) Contents(ctx context.Context, read func(io.Reader) error) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", p.Path) //nolint:gosec // the path is our own
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("opening package %s: %w", p.Name, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("opening package %s: %w", p.Name, err)
	}
	readErr := read(stdout)
	// dpkg-deb ends only when all of its output was taken.
	_, drainErr := io.Copy(io.Discard, stdout)
	if err := errors.Join(readErr, drainErr, cmd.Wait()); err != nil {
		return fmt.Errorf("unpacking %s: %w %s", p.Name, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// run starts one of apt's programs on this archive's own configuration.
func (a *Archive) run(ctx context.Context, program string, args ...string) (string, error) {
	// Unlike $APT_CONFIG, this file is read after the machine's configuration.
	config := "--config-file=" + filepath.Join(a.Dir, "apt.conf")
	cmd := exec.CommandContext(ctx, program, append([]string{config}, args...)...) //nolint:gosec // apt's programs, with names from the recipes
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return output.String(), fmt.Errorf("%s %s (%s): %w\n%s", program, args[0], a.Suite, err, lastLines(output.String(), 8))
	}
	return output.String(), nil
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

func sortPackages(packages []Package) {
	slices.SortFunc(packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
}
