package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/klog/v2"
)

// TestLibrariesAreSilent: client-go tells of an exec that was given up, as with an instance that hangs, amid what the user reads.
func TestLibrariesAreSilent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stderr")

	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}

	stderr := os.Stderr
	os.Stderr = file

	silenceLibraries()
	klog.Background().WithName("UnhandledError").Error(errors.New("use of closed network connection"), "Copying stderr failed")
	klog.Flush()

	os.Stderr = stderr

	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	if said, err := os.ReadFile(path); err != nil || len(said) > 0 {
		t.Errorf("they say %q (%v)", said, err)
	}
}
