package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/caretaker-dev/caretaker/images/internal/debian"
	"github.com/caretaker-dev/caretaker/images/internal/recipe"
	"github.com/caretaker-dev/caretaker/images/internal/rootfs"
)

// assemble makes the recipe's file tree. The caller closes it.
func assemble(ctx context.Context, from recipe.Recipe, packages []debian.Package, dir string) (*rootfs.Tree, error) {
	tree, err := rootfs.New(dir)
	if err != nil {
		return nil, err
	}
	for _, pkg := range packages {
		if err := pkg.Contents(ctx, tree.AddTar); err != nil {
			return nil, errors.Join(err, tree.Close())
		}
	}
	if err := complete(tree, from); err != nil {
		return nil, errors.Join(err, tree.Close())
	}
	return tree, nil
}

// complete does what the packages' maintainer scripts would have done and an
// image needs.
func complete(tree *rootfs.Tree, from recipe.Recipe) error {
	if err := addCertificates(tree); err != nil {
		return err
	}
	tree.Remove(from.Drops)
	tree.RemoveEmptyDirs(recipe.Below)
	tree.AddDir("tmp", 0o1777, rootfs.Owner{})
	tree.AddDir("etc", 0o755, rootfs.Owner{})
	tree.AddLink("var/run", "/run")
	tree.AddLink("var/lock", "/run/lock")
	tree.AddDir("run/lock", 0o1777, rootfs.Owner{})
	addDirs(tree, from.Dirs, from.User)
	if err := addFiles(tree, from.Files); err != nil {
		return err
	}
	if err := addUsers(tree, from.User); err != nil {
		return err
	}
	addProgramLinks(tree, from.LinkPrograms)
	return tree.CheckLibraries()
}

func addDirs(tree *rootfs.Tree, dirs map[string]int64, user recipe.User) {
	for dir, mode := range dirs {
		tree.AddDir(dir, mode, rootfs.Owner{UID: user.UID, GID: user.GID})
	}
}

// addCertificates joins the certification authorities into the one file that
// TLS libraries read.
func addCertificates(tree *rootfs.Tree) error {
	var bundle bytes.Buffer
	for _, name := range tree.Paths() {
		if !strings.HasPrefix(name, "usr/share/ca-certificates/") || path.Ext(name) != ".crt" {
			continue
		}
		certificate, err := tree.Open(name)
		if err != nil {
			return fmt.Errorf("reading a certificate: %w", err)
		}
		if _, err := io.Copy(&bundle, certificate); err != nil {
			return fmt.Errorf("reading a certificate: %w", err)
		}
	}
	if bundle.Len() == 0 {
		return nil
	}
	return tree.AddFile("etc/ssl/certs/ca-certificates.crt", 0o644, rootfs.Owner{}, &bundle)
}

// addUsers writes the files that names are looked up in.
func addUsers(tree *rootfs.Tree, user recipe.User) error {
	files := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/bash\n" +
			"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" +
			fmt.Sprintf("%s:x:%d:%d::%s:/bin/bash\n", user.Name, user.UID, user.GID, user.Home),
		"etc/group": "root:x:0:\nnogroup:x:65534:\n" + fmt.Sprintf("%s:x:%d:\n", user.Name, user.GID),
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\n" +
			"protocols: files\nservices: files\n",
	}
	for name, text := range files {
		if err := tree.AddFile(name, 0o644, rootfs.Owner{}, strings.NewReader(text)); err != nil {
			return err
		}
	}
	return nil
}

// addProgramLinks links what Debian wraps in scripts, or chooses through its
// alternatives, to the programs themselves.
func addProgramLinks(tree *rootfs.Tree, dir string) {
	present := map[string]bool{}
	for _, name := range tree.Paths() {
		present[name] = true
		if dir != "" && path.Dir(name) == dir {
			tree.AddLink("usr/bin/"+path.Base(name), "/"+name)
		}
	}
	alternatives := map[string]string{"usr/bin/awk": "usr/bin/mawk", "usr/bin/pager": "usr/bin/less", "usr/bin/sh": "usr/bin/dash"}
	for link, program := range alternatives {
		if present[program] && !present[link] {
			tree.AddLink(link, path.Base(program))
		}
	}
	if zone := "usr/share/zoneinfo/Etc/UTC"; present[zone] {
		tree.AddLink("etc/localtime", "/"+zone)
	}
}
