package images

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Archive is a file with an image, as "docker save" or OCI tools write it.
type Archive struct {
	path string
	// fingerprint changes whenever the image does.
	fingerprint string
	names       []string
}

func (a *Archive) String() string {
	if len(a.names) == 0 {
		return filepath.Base(a.path)
	}
	return strings.Join(a.names, ", ")
}

// Open reads what is in an archive. Its name of each layer and of its configuration
// must follow from their content, as tools commonly have it.
func Open(path string) (*Archive, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("image archive %s: %w", path, err)
	}
	file, err := os.Open(absolute)
	if err != nil {
		return nil, fmt.Errorf("image archive: %w", err)
	}
	defer func() { _ = file.Close() }()
	archive := &Archive{path: absolute}
	var indexes []byte
	for reader := tar.NewReader(file); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("image archive %s: %w (is it a tar file, not compressed?)", path, err)
		}
		name := filepath.Clean(header.Name)
		if name != "manifest.json" && name != "index.json" {
			continue
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			return nil, fmt.Errorf("image archive %s: %w", path, err)
		}
		indexes = append(indexes, content...)
		if err := archive.readNames(name, content); err != nil {
			return nil, fmt.Errorf("image archive %s: %s: %w", path, name, err)
		}
	}
	if indexes == nil {
		return nil, fmt.Errorf("image archive %s: neither manifest.json nor index.json is in it", path)
	}
	archive.fingerprint = digest(indexes)
	return archive, nil
}

func (a *Archive) readNames(file string, content []byte) error {
	if file == "manifest.json" {
		var manifest []struct{ RepoTags []string }
		if err := json.Unmarshal(content, &manifest); err != nil {
			return err
		}
		a.names = nil
		for _, image := range manifest {
			a.names = append(a.names, image.RepoTags...)
		}
		return nil
	}
	var index struct {
		Manifests []struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(content, &index); err != nil {
		return err
	}
	for _, manifest := range index.Manifests {
		name := manifest.Annotations["io.containerd.image.name"]
		if name == "" {
			name = manifest.Annotations["org.opencontainers.image.ref.name"]
		}
		if name != "" && len(a.names) == 0 {
			a.names = append(a.names, name)
		}
	}
	return nil
}

// Target is a node's containerd.
type Target struct {
	// Ctr is containerd's client program.
	Ctr string
	// Socket is where containerd listens, Dir the node's folder.
	Socket, Dir string
}

// Has says whether the very image of the archive is there. What was loaded is written
// down, and no longer believed when containerd does not list it.
func (t Target) Has(ctx context.Context, archive *Archive) (bool, error) {
	recorded, err := os.ReadFile(t.record(archive))
	if err != nil || string(recorded) != archive.fingerprint || len(archive.names) == 0 {
		return false, nil //nolint:nilerr // No record: it was not loaded.
	}
	listed, err := t.run(ctx, "list", "--quiet")
	if err != nil {
		return false, err
	}
	for _, name := range archive.names {
		// containerd completes a short name: <default registry>/library/name:tag.
		if !strings.Contains("\n"+listed, "\n"+name+"\n") && !strings.Contains(listed, "/"+name+"\n") {
			return false, nil
		}
	}
	return true, nil
}

// Load imports the archive.
func (t Target) Load(ctx context.Context, archive *Archive) error {
	if _, err := t.run(ctx, "import", archive.path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.record(archive)), 0o750); err != nil {
		return fmt.Errorf("remembering what was loaded: %w", err)
	}
	if err := os.WriteFile(t.record(archive), []byte(archive.fingerprint), 0o600); err != nil {
		return fmt.Errorf("remembering what was loaded: %w", err)
	}
	return nil
}

func (t Target) record(archive *Archive) string {
	return filepath.Join(t.Dir, "images", digest([]byte(archive.String())))
}

func (t Target) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, t.Ctr,
		append([]string{"--address", t.Socket, "--namespace", "k8s.io", "images"}, args...)...)
	var output, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &complaints
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ctr images %s: %w: %s", strings.Join(args, " "), err, complaints.String())
	}
	return output.String(), nil
}
