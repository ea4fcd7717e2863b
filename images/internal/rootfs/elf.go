package rootfs

import (
	"archive/tar"
	"debug/elf"
	"fmt"
	"path"
	"slices"
	"strings"
)

// CheckLibraries fails if a program or library of the tree needs a shared
// library that the tree does not have where the loader looks. It tells at
// build time that a recipe leaves out too much.
func (t *Tree) CheckLibraries() error {
	available := map[string]bool{}
	for name := range t.entries {
		if isLibraryDir(path.Dir(name)) {
			available[path.Base(name)] = true
		}
	}
	var missing []string
	for _, name := range t.Paths() {
		if t.entries[name].kind != tar.TypeReg {
			continue
		}
		for _, library := range t.neededLibraries(name) {
			// Beside itself is where glibc's converters look ($ORIGIN).
			if !available[library] && t.entries[path.Join(path.Dir(name), library)] == nil {
				missing = append(missing, name+" needs "+library)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("shared libraries are missing:\n  %s", strings.Join(missing, "\n  "))
	}
	return nil
}

// isLibraryDir knows the loader's default directories: usr/lib, usr/lib64 and
// usr/lib/<architecture>-linux-gnu.
func isLibraryDir(dir string) bool {
	if dir == "usr/lib" || dir == "usr/lib64" {
		return true
	}
	parent, last := path.Split(dir)
	return parent == "usr/lib/" && strings.Contains(last, "-linux-gnu")
}

// neededLibraries returns nothing for what is not an ELF file.
func (t *Tree) neededLibraries(name string) []string {
	found := t.entries[name]
	magic := make([]byte, len(elf.ELFMAG))
	if n, _ := t.spool.ReadAt(magic, found.offset); n < len(magic) || string(magic) != elf.ELFMAG {
		return nil
	}
	content, err := t.Open(name)
	if err != nil {
		return nil
	}
	file, err := elf.NewFile(content)
	if err != nil {
		return nil
	}
	libraries, err := file.ImportedLibraries()
	if err != nil {
		return nil
	}
	slices.Sort(libraries)
	return libraries
}
