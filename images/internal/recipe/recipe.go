package recipe

import (
	"fmt"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"
)

// Recipe is how one image's file tree is made of Debian packages. It is part
// of what the cache goes by: any change here makes a new image.
type Recipe struct {
	// Name is the image's repository below caretaker.local/.
	Name string
	// Track is what an image may be updated to without notice, such as the
	// major version; it is the shorter tag.
	Track string
	// Suite is the Debian release that has the packages.
	Suite string
	// Packages are installed with what they depend on. The first one's version
	// is the image's.
	Packages []string
	// Omit names dependencies that the image works without.
	Omit []string
	// Drop are path patterns of files to leave out; a directory's contents go
	// with it. Patterns are those of path.Match.
	Drop []string
	// LinkPrograms is a directory whose programs get links in usr/bin.
	LinkPrograms string
	// User runs the image's process and owns Dirs.
	User User
	// Dirs are created, owned by User, with their mode.
	Dirs map[string]int64
	// Files are added, over those of the packages.
	Files map[string]File `json:",omitempty"`
	// Env is added to PATH and LANG; $VERSION stands for the package's version.
	Env []string
	// Path lists directories put in front of PATH.
	Path string
	// Command is what runs where nothing else is said.
	Command []string
	// StopSignal ends the command.
	StopSignal string
}

// User is a line of /etc/passwd and of /etc/group.
type User struct {
	Name string
	UID  int
	GID  int
	Home string
}

// systemPath is the usual PATH of a container.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Domain stands before every image's name. It is no host: the images are
// loaded into nodes by hand, and nothing ever asks for them there.
const Domain = "caretaker.local/"

// Config returns the image's configuration for a Debian package version.
func (r Recipe) Config(version string) v1.Config {
	searchPath := systemPath
	if r.Path != "" {
		searchPath = r.Path + ":" + systemPath
	}
	env := []string{"PATH=" + searchPath, "LANG=C.UTF-8"}
	for _, variable := range r.Env {
		env = append(env, strings.ReplaceAll(variable, "$VERSION", version))
	}
	return v1.Config{
		User:       fmt.Sprintf("%d:%d", r.User.UID, r.User.GID),
		Env:        env,
		Cmd:        r.Command,
		WorkingDir: "/",
		StopSignal: r.StopSignal,
		Labels: map[string]string{
			"org.opencontainers.image.title":   r.Name,
			"org.opencontainers.image.version": Upstream(version),
			"local.caretaker.debian.suite":     r.Suite,
			"local.caretaker.debian.version":   version,
		},
	}
}

// Names returns the image's names: one that follows the track and one with the
// full version. A suffix tells a variant from the plain image.
func (r Recipe) Names(version, suffix string) []string {
	if suffix != "" {
		suffix = "-" + suffix
	}
	names := []string{Domain + r.Name + ":" + Upstream(version) + suffix}
	if r.Track != "" && r.Track != Upstream(version) {
		names = append(names, Domain+r.Name+":"+r.Track+suffix)
	}
	return names
}

// Upstream is a Debian version without the epoch and Debian's own revision.
func Upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	if end := strings.LastIndex(version, "-"); end >= 0 {
		version = version[:end]
	}
	version, _, _ = strings.Cut(version, "+")
	return version
}

// Drops says whether a file stays out of the image.
func (r Recipe) Drops(name string) bool {
	if below, ok := strings.CutPrefix(name, "usr/share/doc/"); ok {
		// Licences stay.
		return strings.Contains(below, "/") && path.Base(below) != "copyright"
	}
	for _, pattern := range r.Drop {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

// Below says whether a path lies where packages put documentation or services,
// so that an emptied directory there need not stay.
func Below(name string) bool {
	return strings.HasPrefix(name, "usr/share/") || strings.HasPrefix(name, "etc/")
}
