package recipe

import (
	"fmt"
	"slices"
	"strconv"
)

// Postgres is the user that the official image and Debian both call postgres,
// with the official image's ids.
func Postgres() User {
	return User{Name: "postgres", UID: 999, GID: 999, Home: "/var/lib/postgresql"}
}

// PostgreSQLMajors are the major versions that Debian has, the newest last.
func PostgreSQLMajors() []int { return []int{15, 17, 18} }

// PostgreSQL is the server, client and contrib modules of one major version.
func PostgreSQL(major int) (Recipe, error) {
	suites := map[int]string{15: "bookworm", 17: "trixie", 18: "forky"}
	suite, ok := suites[major]
	if !ok {
		return Recipe{}, fmt.Errorf("there is no PostgreSQL %d in Debian; choose one of %v", major, PostgreSQLMajors())
	}
	number := strconv.Itoa(major)
	lib := "usr/lib/postgresql/" + number
	return Recipe{
		Name:     "postgresql",
		Track:    number,
		Suite:    suite,
		Packages: slices.Concat([]string{"postgresql-" + number}, basePackages(), []string{"less", "procps", "netbase", "tzdata"}),
		// Debian's cluster scripts manage what the instance manager manages
		// here; the just-in-time compiler would bring 130 MB of LLVM.
		Omit: slices.Concat(scripting(), []string{
			"postgresql-common", "postgresql-client-common", "ssl-cert", "locales", "libc-l10n",
			"libllvm14", "libllvm19", "libllvm20", "libllvm21", "libllvm22", "sensible-utils", "libjson-perl",
		}),
		Drop: slices.Concat(documentation(), []string{
			"usr/share/postgresql/" + number + "/man", lib + "/lib/llvmjit*", lib + "/lib/bitcode", lib + "/lib/pgxs",
		}),
		LinkPrograms: lib + "/bin",
		User:         Postgres(),
		Dirs: map[string]int64{
			"var/lib/postgresql": 0o755,
			// Any uid may put its socket here.
			"run/postgresql": 0o1777,
		},
		Env:        []string{"PG_MAJOR=" + number, "PG_VERSION=$VERSION"},
		Path:       "/" + lib + "/bin",
		Command:    []string{"postgres"},
		StopSignal: "SIGINT",
	}, nil
}

// MySQL is the server, with Group Replication's plugin, and the client. Debian
// has it in unstable only: it is MySQL itself, not MariaDB.
func MySQL() Recipe {
	return Recipe{
		Name:  "mysql",
		Track: "9.7",
		Suite: "sid",
		Packages: slices.Concat([]string{"mysql-server-core", "mysql-client-core"}, basePackages(),
			[]string{"less", "procps", "netbase", "tzdata"}),
		Omit: slices.Concat(scripting(), []string{"sensible-utils", "mysql-common"}),
		Drop: slices.Concat(documentation(), []string{"usr/share/mysql/*/*.txt", "usr/share/mysql-*/*.txt"}),
		// As in the official image.
		User: User{Name: "mysql", UID: 999, GID: 999, Home: "/var/lib/mysql"},
		Dirs: map[string]int64{
			"var/lib/mysql": 0o750,
			// Any uid may put its socket here.
			"run/mysqld": 0o1777,
		},
		Env:        []string{"MYSQL_MAJOR=9.7", "MYSQL_VERSION=$VERSION"},
		Command:    []string{"mysqld"},
		StopSignal: "SIGTERM",
	}
}

// Valkey is the server and its command line.
func Valkey() Recipe {
	return Recipe{
		Name:     "valkey",
		Track:    "8",
		Suite:    "trixie",
		Packages: slices.Concat([]string{"valkey-server", "valkey-tools"}, basePackages()),
		Omit:     scripting(),
		Drop:     documentation(),
		User:     User{Name: "valkey", UID: 999, GID: 999, Home: "/var/lib/valkey"},
		Dirs:     map[string]int64{"var/lib/valkey": 0o750},
		Env:      []string{"VALKEY_VERSION=$VERSION"},
		Command:  []string{"valkey-server"},
		// It saves what it has to when it is told to end.
		StopSignal: "SIGTERM",
	}
}

// Nginx is the web server, for any uid and with a root file system that cannot
// be written to: its configuration follows from the environment at the start.
func Nginx() Recipe {
	return Recipe{
		Name:       "nginx",
		Track:      "1.26",
		Suite:      "trixie",
		Packages:   slices.Concat([]string{"nginx"}, basePackages()),
		Omit:       append(scripting(), "iproute2"),
		Drop:       documentation(),
		User:       User{Name: "nginx", UID: 101, GID: 101, Home: "/nonexistent"},
		Files:      map[string]File{nginxStart: {Text: nginxScript, Mode: 0o755}},
		Env:        []string{"NGINX_VERSION=$VERSION"},
		Command:    []string{"/" + nginxStart},
		StopSignal: "SIGQUIT",
	}
}

// Operator is what lies below the operator's own programs: the certificates
// that object stores and webhooks are checked with, and the user.
func Operator() Recipe {
	return Recipe{
		Name:     "caretaker",
		Track:    "dev",
		Suite:    "trixie",
		Packages: []string{"ca-certificates"},
		Omit:     scripting(),
		Drop:     append(documentation(), "usr/sbin", "usr/share/ca-certificates", "etc/ca-certificates"),
		User:     User{Name: "caretaker", UID: 65532, GID: 65532, Home: "/"},
	}
}

// basePackages are enough of a system for `sh -c`, a look around with kubectl
// exec, and programs that check certificates.
func basePackages() []string {
	return []string{
		"base-files", "bash", "ca-certificates", "coreutils", "dash", "findutils",
		"grep", "gzip", "hostname", "libc-bin", "ncurses-base", "sed", "tar",
	}
}

// scripting is what only packages' maintainer scripts need. They do not run.
func scripting() []string {
	return []string{
		"adduser", "base-passwd", "debconf", "debianutils", "dpkg", "init-system-helpers", "install-info",
		"login", "login.defs", "lsb-base", "openssl", "passwd", "perl", "perl-base", "readline-common",
		"systemd", "sysvinit-utils", "ucf", "usr-is-merged", "usrmerge",
	}
}

// documentation is what people read elsewhere, and services that no container
// starts.
func documentation() []string {
	return []string{
		"usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug",
		"usr/share/bash-completion", "usr/share/apport", "usr/share/menu", "usr/share/pixmaps", "usr/share/gdb",
		"usr/share/common-licenses", "usr/share/debianutils", "usr/share/base-files", "usr/share/polkit-1",
		"usr/lib/systemd", "usr/lib/sysctl.d", "usr/lib/tmpfiles.d", "usr/lib/sysusers.d",
		"etc/init.d", "etc/cron.*", "etc/logrotate.d", "etc/default", "etc/apt", "etc/dpkg", "etc/skel", "etc/motd",
		"etc/issue*", "etc/update-motd.d", "etc/sysctl.d", "etc/profile.d", "etc/opt", "etc/ca-certificates",
		"var/cache/*", "var/log/*", "var/lib/dpkg", "boot", "home/*", "media", "mnt", "srv", "opt",
	}
}
