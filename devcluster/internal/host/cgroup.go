package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// unified says whether the machine has control groups of version 2 alone.
func unified() bool {
	_, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers"))
	return err == nil
}

// hierarchies are the folders below which a node has a control group each.
func hierarchies() ([]string, error) {
	if unified() {
		return []string{cgroupRoot}, nil
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("control groups: %w", err)
	}
	var dirs []string
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 3 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			dirs = append(dirs, fields[1])
		}
	}
	if len(dirs) == 0 {
		return nil, errors.New("no control groups are mounted below " + cgroupRoot)
	}
	return dirs, nil
}

// CreateCgroup makes the control group in every hierarchy.
func CreateCgroup(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		for part := range strings.SplitSeq(name, "/") {
			if unified() {
				delegate(dir)
			}
			parent := dir
			dir = filepath.Join(dir, part)
			if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("control group: %w", err)
			}
			if err := inheritCPUs(parent, dir); err != nil {
				return err
			}
		}
		if unified() {
			if err := os.MkdirAll(filepath.Join(dir, "system"), 0o750); err != nil {
				return fmt.Errorf("control group: %w", err)
			}
		}
	}
	return nil
}

// delegate lets the group's children use what controllers it has. One at a time: that
// one of them cannot be had must not lose the others.
func delegate(dir string) {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return
	}
	for controller := range strings.FieldsSeq(string(controllers)) {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o600)
	}
}

// inheritCPUs copies what a cpuset group of version 1 lacks when it is new.
func inheritCPUs(parent, child string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) || unified() {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(child, file), bytes.TrimSpace(value), 0o600)
		}
		if err != nil {
			return fmt.Errorf("control group: %w", err)
		}
	}
	return nil
}

// freezer is the folder whose group, with all groups below, can be stopped as one.
func freezer(name string) string {
	if unified() {
		return filepath.Join(cgroupRoot, name)
	}
	return filepath.Join(cgroupRoot, "freezer", name)
}

// JoinFreezer puts a process into the group, so that it freezes with it.
func JoinFreezer(name string, pid int) error {
	dir := freezer(name)
	if unified() { // There a group with children may not have processes.
		dir = filepath.Join(dir, "system")
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	return nil
}

// Freeze stops every process of the group.
func Freeze(name string) error { return setFrozen(name, "FROZEN", "1") }

// Thaw lets the group's processes go on.
func Thaw(name string) error { return setFrozen(name, "THAWED", "0") }

// Frozen says whether the group is stopped.
func Frozen(name string) bool {
	file, want := "freezer.state", "THAWED"
	if unified() {
		file, want = "cgroup.freeze", "0"
	}
	state, err := os.ReadFile(filepath.Join(freezer(name), file))
	return err == nil && strings.TrimSpace(string(state)) != want
}

func setFrozen(name, v1, v2 string) error {
	file, value := "freezer.state", v1
	if unified() {
		file, value = "cgroup.freeze", v2
	}
	err := os.WriteFile(filepath.Join(freezer(name), file), []byte(value), 0o600)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("control group: %w", err)
	}
	return nil
}

// RemoveCgroup removes the control group and all below it from every hierarchy,
// waiting a little for processes that were killed to be gone.
func RemoveCgroup(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	if err := Thaw(name); err != nil { // What is frozen does not die.
		return err
	}
	for _, dir := range dirs {
		top := filepath.Join(dir, name)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if err = removeTree(top); err == nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("control group: %w", err)
			}
		}
	}
	return nil
}

func removeTree(top string) error {
	var dirs []string
	err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
