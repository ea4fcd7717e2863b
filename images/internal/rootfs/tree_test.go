package rootfs

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// debPackage makes a tar stream as a package's: in the given order, with the
// given time and owner's name.
func debPackage(t *testing.T, when time.Time, headers ...tar.Header) io.Reader {
	t.Helper()
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	for _, header := range headers {
		header.ModTime, header.Uname = when, when.String()[:10]
		if header.Typeflag == tar.TypeReg {
			header.Size = int64(len(header.Name))
		}
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(writer, header.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return &buffer
}

func newTree(t *testing.T) *Tree {
	t.Helper()
	tree, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tree.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return tree
}

func write(t *testing.T, tree *Tree) []byte {
	t.Helper()
	var buffer bytes.Buffer
	if err := tree.Write(&buffer); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// listing describes what a tar archive has.
func listing(t *testing.T, archive []byte) []string {
	t.Helper()
	var lines []string
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.Equal(Epoch()) || header.Uname != "" {
			t.Errorf("%s keeps time %v or owner name %q", header.Name, header.ModTime, header.Uname)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%c %04o %d:%d %s %s",
			header.Typeflag, header.Mode, header.Uid, header.Gid, header.Name, header.Linkname)))
	}
}

func TestWriteMergesUsrAndNormalises(t *testing.T) {
	tree := newTree(t)
	err := tree.AddTar(debPackage(t, time.Unix(1e9, 0),
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeDir, Name: "./bin/", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeReg, Name: "./bin/su", Mode: 0o4755},
		tar.Header{Typeflag: tar.TypeLink, Name: "./bin/zsu", Linkname: "./bin/su"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "./lib64/ld.so", Linkname: "/lib/ld.so", Mode: 0o777},
		tar.Header{Typeflag: tar.TypeReg, Name: "./etc/conf", Mode: 0o640, Uid: 999, Gid: 998},
	))
	if err != nil {
		t.Fatal(err)
	}
	tree.AddDir("run/postgresql", 0o1777, Owner{UID: 999, GID: 999})
	want := []string{
		"2 0777 0:0 bin usr/bin",
		"5 0755 0:0 etc/",
		"0 0640 999:998 etc/conf",
		"2 0777 0:0 lib64 usr/lib64",
		"5 0755 0:0 run/",
		"5 1777 999:999 run/postgresql/",
		"5 0755 0:0 usr/",
		"5 0755 0:0 usr/bin/",
		"0 0755 0:0 usr/bin/su",
		"1 0755 0:0 usr/bin/zsu usr/bin/su",
		"5 0755 0:0 usr/lib64/",
		"2 0777 0:0 usr/lib64/ld.so /lib/ld.so",
	}
	if diff := cmp.Diff(want, listing(t, write(t, tree))); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
}

func TestWriteIsReproducible(t *testing.T) {
	files := []tar.Header{
		{Typeflag: tar.TypeReg, Name: "usr/a", Mode: 0o644},
		{Typeflag: tar.TypeReg, Name: "usr/b", Mode: 0o755},
		{Typeflag: tar.TypeSymlink, Name: "usr/c", Linkname: "b", Mode: 0o777},
	}
	first := newTree(t)
	if err := first.AddTar(debPackage(t, time.Unix(1e9, 0), files...)); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files)
	second := newTree(t)
	if err := second.AddTar(debPackage(t, time.Unix(1.5e9, 0), files...)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(write(t, first), write(t, second)) {
		t.Error("equal files, packed at another time and in another order, gave other bytes")
	}
}

func TestRemove(t *testing.T) {
	tree := newTree(t)
	err := tree.AddTar(debPackage(t, time.Unix(1e9, 0),
		tar.Header{Typeflag: tar.TypeDir, Name: "usr/share/man/", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeDir, Name: "usr/share/man/man1/", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeReg, Name: "usr/share/man/man1/ls.1", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeReg, Name: "usr/share/manual", Mode: 0o644},
		tar.Header{Typeflag: tar.TypeDir, Name: "usr/share/empty/", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeDir, Name: "var/empty/", Mode: 0o755},
	))
	if err != nil {
		t.Fatal(err)
	}
	tree.Remove(func(name string) bool { return name == "usr/share/man" })
	tree.RemoveEmptyDirs(func(name string) bool { return strings.HasPrefix(name, "usr/share/") })
	if diff := cmp.Diff([]string{"usr/share/manual", "var/empty"}, tree.Paths()); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}

func TestOpenFollowsLinks(t *testing.T) {
	tree := newTree(t)
	if err := tree.AddFile("usr/lib/real", 0o644, Owner{}, strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	tree.AddLink("usr/lib/relative", "real")
	tree.AddLink("etc/absolute", "/lib/relative")
	tree.AddLink("etc/loop", "loop")
	reader, err := tree.Open("etc/absolute")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(reader); err != nil || string(text) != "content" {
		t.Errorf("read %q, %v", text, err)
	}
	for _, name := range []string{"etc/loop", "etc/none"} {
		if _, err := tree.Open(name); err == nil {
			t.Errorf("%s could be opened", name)
		}
	}
}

// TestCheckLibraries takes a real dynamic program: this test's machine's shell.
func TestCheckLibraries(t *testing.T) {
	shell, err := os.Open("/bin/sh")
	if err != nil {
		t.Skip("there is no /bin/sh here")
	}
	defer func() { _ = shell.Close() }()
	tree := newTree(t)
	if err := tree.AddFile("usr/bin/sh", 0o755, Owner{}, shell); err != nil {
		t.Fatal(err)
	}
	needed := tree.neededLibraries("usr/bin/sh")
	if len(needed) == 0 {
		t.Skip("/bin/sh is static here")
	}
	if err := tree.CheckLibraries(); err == nil || !strings.Contains(err.Error(), "usr/bin/sh needs "+needed[0]) {
		t.Errorf("a tree without %v passed or has another error: %v", needed, err)
	}
	for _, library := range needed {
		tree.AddLink("usr/lib/x86_64-linux-gnu/"+library, "somewhere")
	}
	if err := tree.CheckLibraries(); err != nil {
		t.Errorf("a complete tree was refused: %v", err)
	}
}
