package pgserver

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

const envRequire = "CARETAKER_REQUIRE_POSTGRES"

// Programs gives the folder of a major version's programs. The test is skipped if this machine has none.
func Programs(t *testing.T, major int) string {
	t.Helper()

	installed := fmt.Sprintf("/usr/lib/postgresql/%d/bin", major)
	if isThere(filepath.Join(installed, "postgres")) {
		return installed
	}

	image := filepath.Join(root(t), "dist", "images", fmt.Sprintf("postgresql-%d.tar", major))
	if !isThere(image) {
		t.Skipf("PostgreSQL %d is not installed, and there is no image of it: make bin/images && bin/images postgresql --major %d --out %s", major, major, image)
	}

	dir, err := unpacked(image, major)
	if err != nil {
		t.Fatal(err)
	}

	return dir
}

// Any gives the programs of any version that is there, the newest of those wanted first.
func Any(t *testing.T, majors ...int) (dir string, major int) {
	t.Helper()

	for _, major := range majors {
		if isThere(fmt.Sprintf("/usr/lib/postgresql/%d/bin/postgres", major)) ||
			isThere(filepath.Join(root(t), "dist", "images", fmt.Sprintf("postgresql-%d.tar", major))) {
			return Programs(t, major), major
		}
	}

	if os.Getenv(envRequire) != "" {
		t.Fatalf("there is no PostgreSQL of %v, and %s is set", majors, envRequire)
	}

	t.Skipf("there is no PostgreSQL of %v on this machine", majors)

	return "", 0
}

func isThere(path string) bool {
	_, err := os.Stat(path)

	return err == nil
}

// root of the checkout.
func root(t *testing.T) string {
	t.Helper()

	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}

	for ; dir != "/"; dir = filepath.Dir(dir) {
		if isThere(filepath.Join(dir, "go.tools.mod")) {
			return dir
		}
	}

	t.Fatal("the tests do not run in a checkout")

	return ""
}

// unpacked gives the image's programs, in a folder of the machine's temporary ones that outlives the test: it is made once for each image.
func unpacked(image string, major int) (string, error) {
	manifest, err := readManifest(image)
	if err != nil {
		return "", err
	}

	base := filepath.Join(os.TempDir(), fmt.Sprintf("caretaker-postgresql-%d-%.12s", os.Getuid(), filepath.Base(manifest.Config)))
	bin := filepath.Join(base, "usr", "lib", "postgresql", fmt.Sprint(major), "bin")

	lock, err := os.OpenFile(base+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() //nolint:errcheck // nothing was written

	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}

	if isThere(base) {
		return bin, nil
	}

	fresh := base + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}

	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return "", err
	}

	for _, layer := range manifest.Layers {
		if err := member(image, layer, func(r io.Reader) error { return unpackLayer(fresh, r) }); err != nil {
			return "", err
		}
	}

	if err := wrap(base, fresh, major); err != nil {
		return "", err
	}

	return bin, os.Rename(fresh, base)
}

type manifest struct {
	Config string
	Layers []string
}

func readManifest(image string) (manifest, error) {
	var all []manifest

	err := member(image, "manifest.json", func(r io.Reader) error { return json.NewDecoder(r).Decode(&all) })
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%s holds %d images", image, len(all))
	}

	if err != nil {
		return manifest{}, err
	}

	return all[0], nil
}

// member finds a file of a tar archive.
func member(archive, name string, read func(io.Reader) error) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read

	reader := tar.NewReader(file)

	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s has no %s", archive, name)
		}

		if err != nil {
			return err
		}

		if header.Name == name {
			return read(reader)
		}
	}
}

func unpackLayer(into string, layer io.Reader) error {
	plain, err := zstd.NewReader(layer)
	if err != nil {
		return err
	}
	defer plain.Close()

	reader := tar.NewReader(plain)

	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return err
		}

		if err := unpackEntry(filepath.Join(into, filepath.Clean("/"+header.Name)), header, reader); err != nil {
			return err
		}
	}
}

func unpackEntry(path string, header *tar.Header, content io.Reader) error {
	switch header.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(header.Linkname, path)
	case tar.TypeLink:
		return nil
	case tar.TypeReg:
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, header.FileInfo().Mode().Perm()|0o444)
		if err != nil {
			return err
		}

		_, err = io.Copy(file, content)

		return errors.Join(err, file.Close())
	default:
		return nil
	}
}

// wrap puts scripts in the programs' places, which start them with the image's own loader and libraries. PostgreSQL finds its other
// programs and its files by the place that it was started from.
func wrap(base, fresh string, major int) error {
	below := filepath.Join("usr", "lib", "postgresql", fmt.Sprint(major))
	own := filepath.Join(fresh, below, "bin")

	entries, err := os.ReadDir(own)
	if err != nil {
		return err
	}

	if err := os.Rename(own, own+".real"); err != nil {
		return err
	}

	if err := os.Mkdir(own, 0o755); err != nil {
		return err
	}

	loader, libraries, err := libraries(fresh)
	if err != nil {
		return err
	}

	for i := range libraries {
		libraries[i] = base + libraries[i]
	}

	for _, entry := range entries {
		script := fmt.Sprintf("#!/bin/sh\nexec %s%s --library-path %s --argv0 %s %s \"$@\"\n", base, loader, strings.Join(libraries, ":"),
			filepath.Join(base, below, "bin", entry.Name()), filepath.Join(base, below, "bin.real", entry.Name()))

		if err := os.WriteFile(filepath.Join(own, entry.Name()), []byte(script), 0o755); err != nil {
			return err
		}
	}

	return nil
}

// libraries of an image, relative to its root, and the loader.
func libraries(image string) (loader string, dirs []string, err error) {
	seen := map[string]struct{}{}

	err = filepath.WalkDir(filepath.Join(image, "usr"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}

		name := strings.TrimPrefix(path, image)
		if strings.HasPrefix(entry.Name(), "ld-linux") && entry.Type().IsRegular() {
			loader = name
		}

		dir := filepath.Dir(name)
		if _, isKnown := seen[dir]; !isKnown && strings.HasPrefix(dir, "/usr/lib/") && strings.Count(dir, "/") == 3 && strings.Contains(entry.Name(), ".so") {
			seen[dir] = struct{}{}
			dirs = append(dirs, dir)
		}

		return nil
	})
	if err == nil && loader == "" {
		err = fmt.Errorf("the image in %s has no loader", image)
	}

	return loader, dirs, err
}
