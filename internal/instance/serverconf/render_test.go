package serverconf_test

import (
	"strings"
	"testing"

	"github.com/caretaker-dev/caretaker/internal/instance/layout"
	"github.com/caretaker-dev/caretaker/internal/instance/serverconf"
	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

func input(change func(*serverconf.Input)) serverconf.Input {
	in := serverconf.Input{
		Layout: layout.Default(), Instance: "demo-1", OSUser: "postgres", Major: 17,
		Config: instanceapi.Config{
			Cluster: "demo", Slots: true, Parameters: map[string]string{"Work_Mem": "7MB", "max_connections": "50"},
			Bootstrap: instanceapi.Bootstrap{InitDB: &instanceapi.InitDB{Locale: "C"}},
			HBA:       []string{"host app all 10.0.0.0/8 scram-sha-256"},
		},
	}
	change(&in)

	return in
}

func TestRender(t *testing.T) {
	upstream := func(in *serverconf.Input) {
		in.Upstream = &serverconf.Upstream{Host: "demo-0.demo-members.test.svc", Port: 5432}
	}

	for name, c := range map[string]struct {
		change func(*serverconf.Input)
		want   []string
	}{
		"primary": {
			func(*serverconf.Input) {},
			[]string{
				"primary_conninfo = ''", "primary_slot_name = ''", "work_mem = '7MB'", "cluster_name = 'demo'",
				"archive_mode = 'always'", "archive_command = 'true'", "listen_addresses = '*'", "max_connections = '50'",
				"default_text_search_config = 'pg_catalog.english'", "hba_file = '/",
			},
		},
		"standby": {
			upstream,
			[]string{
				"host=demo-0.demo-members.test.svc", "sslmode=verify-ca", "application_name=demo-1", "user=streaming_replica",
				"primary_slot_name = 'caretaker_demo_1'", "recovery_target_timeline = 'latest'",
			},
		},
		"standby without slots": {
			func(in *serverconf.Input) {
				upstream(in)
				in.Config.Slots = false
			},
			[]string{"primary_slot_name = ''"},
		},
		"standby of a primary that has more": {
			func(in *serverconf.Input) {
				upstream(in)
				in.Control = map[string]string{"max_connections": "80", "max_wal_senders": "3"}
			},
			[]string{"max_connections = '80'", "max_wal_senders = '10'"},
		},
		"while the data are made": {
			func(in *serverconf.Input) { in.Private = true }, []string{"listen_addresses = ''"},
		},
		"the user's text search wins": {
			func(in *serverconf.Input) { in.Config.Parameters["default_text_search_config"] = "pg_catalog.simple" },
			[]string{"default_text_search_config = 'pg_catalog.simple'"},
		},
		"text search by locale": {
			func(in *serverconf.Input) { in.Config.Bootstrap.InitDB.Locale = "de_DE.UTF-8" },
			[]string{"default_text_search_config = 'pg_catalog.german'"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := serverconf.Render(input(c.change))

			for _, want := range c.want {
				if !strings.Contains(files.Conf, want) {
					t.Errorf("no %s in\n%s", want, files.Conf)
				}
			}
		})
	}

	files := serverconf.Render(input(func(in *serverconf.Input) { in.Private = true }))
	if strings.Contains(files.HBA, "10.0.0.0/8") {
		t.Error("the user's pg_hba lets clients in while the data are made")
	}
}

func TestSlotNameFits(t *testing.T) {
	const limit = 63

	longest := strings.Repeat("x", 50) + "-99"
	if name := serverconf.SlotName(longest); len(name) > limit || strings.Contains(name, "-") {
		t.Errorf("%s (%d) is no slot name", name, len(name))
	}
}
