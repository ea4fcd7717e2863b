package debian

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const vendorSource = `Types: deb
URIs: https://vendor.example/node
Suites: nodistro
Components: main
`

func TestFindMirror(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  Source
	}{
		{
			name:  "one-line format",
			files: map[string]string{"sources.list": "# deb http://old.example/debian stable main\ndeb http://a.example/debian bookworm main contrib\n"},
			want:  Source{URIs: []string{"http://a.example/debian"}, Suites: []string{"bookworm"}},
		},
		{
			name: "options, a source package line and the installation disc come before it",
			files: map[string]string{"sources.list": "deb cdrom:[Debian]/ trixie main\n" +
				"deb-src http://src.example/debian trixie main\n" +
				"deb [arch=amd64 signed-by=/keys/debian.gpg] http://b.example/debian trixie main # ours\n"},
			want: Source{URIs: []string{"http://b.example/debian"}, Suites: []string{"trixie"}, SignedBy: "/keys/debian.gpg"},
		},
		{
			name: "stanza format beside a third party's source",
			files: map[string]string{
				"sources.list.d/a-vendor.sources": vendorSource,
				"sources.list.d/debian.sources": `# the mirror
Types: deb deb-src
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
# a comment inside
URIs: http://c.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`,
			},
			want: Source{
				URIs: []string{"http://c.example/debian"}, Suites: []string{"bookworm", "bookworm-updates"},
				SignedBy: "/usr/share/keyrings/debian-archive-keyring.gpg",
			},
		},
		{
			name: "a disabled stanza, and a key embedded in the source",
			files: map[string]string{"sources.list.d/debian.sources": `Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: trixie

Types: deb
URIs: mirror+file:/etc/apt/mirrors/debian.list
Suites: trixie
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYB
`},
			want: Source{URIs: []string{"mirror+file:/etc/apt/mirrors/debian.list"}, Suites: []string{"trixie"}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			etcApt := fstest.MapFS{}
			for name, text := range test.files {
				etcApt[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := FindMirror(etcApt)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("mirror (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFindMirrorWithoutDebian(t *testing.T) {
	etcApt := fstest.MapFS{
		"sources.list":                  {Data: []byte("deb http://ubuntu.example/ubuntu noble main\ndeb [broken http://x.example trixie main\n")},
		"sources.list.d/vendor.sources": {Data: []byte(vendorSource)},
	}
	if source, err := FindMirror(etcApt); !errors.Is(err, ErrNoMirror) {
		t.Errorf("got %v and error %v, want ErrNoMirror", source, err)
	}
}
