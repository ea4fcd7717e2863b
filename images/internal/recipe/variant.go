package recipe

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1"
)

// Layout is another publisher's image whose conventions a variant follows.
type Layout string

const (
	// Debian is the plain image.
	Debian Layout = ""
	// Official follows the `postgres` image: starts as root through an
	// entrypoint script, declares a volume, sets PGDATA; uid 999.
	Official Layout = "official"
	// CloudNativePG follows that project's images: uid 26, no entrypoint.
	CloudNativePG Layout = "cnpg"
)

// Variant is an image with the plain image's files and a small layer and other
// configuration on top, so that it costs a node almost nothing to have both.
type Variant struct {
	// Like is the layout to follow.
	Like Layout
	// Name makes otherwise equal images differ, as two minor versions would.
	Name string
}

// Suffix tells the variant's tags from the plain image's.
func (v Variant) Suffix() string {
	parts := slices.DeleteFunc([]string{string(v.Like), v.Name}, func(part string) bool { return part == "" })
	return strings.Join(parts, "-")
}

// entrypointPath is where the official image has its start script.
const entrypointPath = "usr/local/bin/docker-entrypoint.sh"

// entrypoint stands in for the official image's script. It initialises
// nothing: what matters here is how an image with an entrypoint is started.
const entrypoint = `#!/bin/sh
# Stand-in for the start script of the official image.
echo "docker-entrypoint.sh: starting $*" >&2
exec "$@"
`

// Contents returns the variant's user, the directories that the user owns, and
// the files of its layer.
func (v Variant) Contents(from Recipe) (user User, dirs map[string]int64, files map[string]File) {
	user, dirs = from.User, maps.Clone(from.Dirs)
	files = map[string]File{"etc/caretaker-variant": {Text: v.Suffix() + "\n", Mode: 0o644}}
	switch v.Like {
	case Debian:
	case Official:
		files[entrypointPath] = File{Text: entrypoint, Mode: 0o755}
		dirs["docker-entrypoint-initdb.d"] = 0o755
		_, volume := officialData(from.Track)
		dirs[strings.TrimPrefix(volume, "/")] = 0o1777
	case CloudNativePG:
		user.UID = 26
	}
	return user, dirs, files
}

// File is a file of a variant's layer.
type File struct {
	Text string
	Mode int64
}

// Configure turns the plain image's configuration into the variant's.
func (v Variant) Configure(config v1.Config, track string) v1.Config {
	config.Labels = maps.Clone(config.Labels)
	config.Labels["local.caretaker.variant"] = v.Suffix()
	switch v.Like {
	case Debian:
	case Official:
		data, volume := officialData(track)
		config.User = ""
		config.Entrypoint = []string{"docker-entrypoint.sh"}
		config.Env = append(slices.Clone(config.Env), "PGDATA="+data)
		config.Volumes = map[string]struct{}{volume: {}}
	case CloudNativePG:
		config.User = "26"
		config.Cmd = nil
		config.StopSignal = ""
	}
	return config
}

// officialData is where the official image keeps data; it changed with 18.
func officialData(track string) (data, volume string) {
	if major, err := strconv.Atoi(track); err == nil && major < 18 {
		return "/var/lib/postgresql/data", "/var/lib/postgresql/data"
	}
	return "/var/lib/postgresql/" + track + "/docker", "/var/lib/postgresql"
}
