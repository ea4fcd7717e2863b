package images

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func pack(t *testing.T, name, content string) *Archive {
	t.Helper()
	program, archive := filepath.Join(t.TempDir(), "program"), filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(program, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	packed, err := Pack(name, program)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Pack(name, program)
	if err != nil || !bytes.Equal(packed, again) {
		t.Errorf("packing twice gives two images: %v", err)
	}
	if err := os.WriteFile(archive, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func TestFingerprintFollowsContent(t *testing.T) {
	one := pack(t, "localhost/x:1", "one")
	if one.String() != "localhost/x:1" {
		t.Errorf("the image is called %s", one)
	}
	if same := pack(t, "localhost/x:1", "one"); same.fingerprint != one.fingerprint {
		t.Error("the same image has two fingerprints")
	}
	if other := pack(t, "localhost/x:1", "two"); other.fingerprint == one.fingerprint {
		t.Error("another image has the same fingerprint")
	}
}

func TestOpenRefuses(t *testing.T) {
	empty, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"not a tar file": {[]byte(strings.Repeat("x", 1024)), "is it a tar file"},
		"no image in it": {empty, "neither manifest.json nor index.json"},
	} {
		path := filepath.Join(t.TempDir(), "image.tar")
		if err := os.WriteFile(path, test.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestNamesOfOCIArchive(t *testing.T) {
	index := `{"manifests":[{"digest":"sha256:1","annotations":{"org.opencontainers.image.ref.name":"localhost/y:2"}}]}`
	content, err := archive(file{"index.json", 0o644, []byte(index)})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(path)
	if err != nil || opened.String() != "localhost/y:2" {
		t.Errorf("Open = %v, %v", opened, err)
	}
}
