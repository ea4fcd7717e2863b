package debian

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParsePackages(t *testing.T) {
	archive := &Archive{Dir: "/cache", Suite: "trixie"}
	records := `Package: tar
Version: 1:1.35-3
Architecture: amd64
Description: archiver
 with a longer text
SHA256: aa

Package: bash
Version: 5.2
Architecture: all
SHA256: bb
`
	packages, err := archive.parsePackages(records, []string{"tar=1:1.35-3", "bash=5.2"})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) != 2 || packages[0].Name != "bash" || packages[1].SHA256 != "aa" {
		t.Errorf("packages are not complete and sorted: %v", packages)
	}
	// apt escapes the epoch's colon in file names.
	if want := "/cache/archives/tar_1%3a1.35-3_amd64.deb"; packages[1].Path != want {
		t.Errorf("path %s, want %s", packages[1].Path, want)
	}
	if _, err := archive.parsePackages(records, []string{"sed=4.9"}); err == nil {
		t.Error("a package that the index does not name was accepted")
	}
}

func TestVerifyRefusesOtherContents(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.deb")
	if err := os.WriteFile(file, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("content"))
	good := Package{Name: "a", SHA256: hex.EncodeToString(sum[:]), Path: file}
	if err := verify([]Package{good}); err != nil {
		t.Errorf("the right file was refused: %v", err)
	}
	bad := good
	bad.SHA256 = strings.Repeat("0", 64)
	if err := verify([]Package{good, bad}); err == nil {
		t.Error("a file with another checksum was accepted")
	}
}
