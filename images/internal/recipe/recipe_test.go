package recipe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUpstream(t *testing.T) {
	for version, want := range map[string]string{
		"17.11-0+deb13u1": "17.11",
		"18.6-3":          "18.6",
		"1:2.4.1-rc1-2":   "2.4.1-rc1",
		"9.7.0+ds-1":      "9.7.0",
		"20250419":        "20250419",
	} {
		if got := Upstream(version); got != want {
			t.Errorf("Upstream(%s) = %s, want %s", version, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	tests := []struct {
		variant Variant
		want    []string
	}{
		{Variant{}, []string{"caretaker.local/postgresql:17.11", "caretaker.local/postgresql:17"}},
		{Variant{Name: "b"}, []string{"caretaker.local/postgresql:17.11-b", "caretaker.local/postgresql:17-b"}},
		{Variant{Like: CloudNativePG, Name: "b"}, []string{"caretaker.local/postgresql:17.11-cnpg-b", "caretaker.local/postgresql:17-cnpg-b"}},
	}
	from := mustPostgreSQL(t, 17)
	for _, test := range tests {
		if diff := cmp.Diff(test.want, from.Names("17.11-0+deb13u1", test.variant.Suffix())); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.variant, diff)
		}
	}
}

func mustPostgreSQL(t *testing.T, major int) Recipe {
	t.Helper()
	from, err := PostgreSQL(major)
	if err != nil {
		t.Fatal(err)
	}
	return from
}

func TestPostgreSQLRefusesUnknownMajor(t *testing.T) {
	if _, err := PostgreSQL(16); err == nil {
		t.Error("there is no PostgreSQL 16 in Debian, yet there is a recipe")
	}
}

func TestDrops(t *testing.T) {
	from := mustPostgreSQL(t, 17)
	for name, want := range map[string]bool{
		"usr/share/doc/bash":                             false,
		"usr/share/doc/bash/copyright":                   false,
		"usr/share/doc/bash/changelog.gz":                true,
		"usr/share/man":                                  true,
		"usr/lib/postgresql/17/lib/llvmjit_types.bc":     true,
		"usr/lib/postgresql/17/lib/pgcrypto.so":          false,
		"usr/lib/postgresql/17/bin/pg_rewind":            false,
		"usr/lib/locale/C.utf8":                          false,
		"usr/share/postgresql/17/postgresql.conf.sample": false,
	} {
		if got := from.Drops(name); got != want {
			t.Errorf("Drops(%s) = %t, want %t", name, got, want)
		}
	}
}

func TestConfigByLayout(t *testing.T) {
	from := mustPostgreSQL(t, 17)
	plain := from.Config("17.11-0+deb13u1")
	official := Variant{Like: Official}.Configure(plain, from.Track)
	cnpg := Variant{Like: CloudNativePG}.Configure(plain, from.Track)
	if plain.User != "999:999" || official.User != "" || cnpg.User != "26" {
		t.Errorf("users %q, %q, %q", plain.User, official.User, cnpg.User)
	}
	if len(plain.Entrypoint) != 0 || len(official.Entrypoint) != 1 || len(cnpg.Entrypoint) != 0 {
		t.Error("only the official layout has an entrypoint")
	}
	if _, ok := official.Volumes["/var/lib/postgresql/data"]; !ok {
		t.Errorf("the official layout's volumes are %v", official.Volumes)
	}
	if _, ok := plain.Labels["local.caretaker.variant"]; ok {
		t.Error("making a variant changed the plain image's labels")
	}
	if data, volume := officialData("18"); data != "/var/lib/postgresql/18/docker" || volume != "/var/lib/postgresql" {
		t.Errorf("18 keeps data in %s on %s", data, volume)
	}
}
