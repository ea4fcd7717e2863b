package postgres

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//nolint:dupword // "all" is a keyword of several columns
func TestRenderHBA(t *testing.T) {
	const ours = `# Written by Caretaker; changes made here are lost.
# PID 1, over the socket.
local all postgres peer map=caretaker
local replication postgres peer map=caretaker
# Standbys, by client certificate only.
hostssl replication streaming_replica all cert
hostssl postgres streaming_replica all cert
host all,replication streaming_replica all reject
`
	const noSuperuser = "# enableSuperuserAccess is false.\nhost all,replication postgres all reject\n"
	const rest = "# Everyone else, by password.\nlocal all all scram-sha-256\nhost all all all scram-sha-256\n"
	tests := map[string]struct {
		in   HBAInput
		want string
	}{
		"nothing asked for": {want: ours + noSuperuser + rest},
		"superuser over the network": {
			in:   HBAInput{SuperuserAccess: true},
			want: ours + rest,
		},
		"the user's rules come after ours and before the default": {
			in:   HBAInput{Rules: []string{"hostssl app app 10.0.0.0/8 cert", "host all all all reject"}},
			want: ours + noSuperuser + "# postgresql.pg_hba of the manifest.\nhostssl app app 10.0.0.0/8 cert\nhost all all all reject\n" + rest,
		},
		"clients wait": {
			in: HBAInput{Rules: []string{"host all all all trust"}, ReplicationOnly: true, SuperuserAccess: true},
			want: ours + "# Clients wait until this primary is established.\n" +
				"local all all reject\nhost all,replication all all reject\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := RenderHBA(tc.in)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("pg_hba.conf (-want +got):\n%s", diff)
			}
			if problems := ValidateHBA(MinMajor, strings.Split(got, "\n")); len(problems) > 0 {
				t.Errorf("our own file is refused: %v", problems)
			}
		})
	}
}

func TestRenderIdent(t *testing.T) {
	want := "# Written by Caretaker; changes made here are lost.\ncaretaker \"all\" postgres\nldap /^(.*)@example\\.org$ \\1\n"
	got := RenderIdent(IdentInput{OSUser: "all", Lines: []string{`ldap /^(.*)@example\.org$ \1`}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pg_ident.conf (-want +got):\n%s", diff)
	}
}

// hbaCase is also run against real servers (server_test.go).
type hbaCase struct {
	major int
	rule  string
	// want is the start of the message; empty: the rule is good.
	want string
	// strict says that we refuse what a server would take.
	strict bool
}

//nolint:dupword // "all" is a keyword of several columns
func hbaCases() []hbaCase {
	return []hbaCase{
		{rule: "host all all 10.0.0.0/8 md5"},
		{rule: "hostssl app,reports +readers,bob samenet scram-sha-256"},
		{rule: "hostnossl all all 192.168.1.1 255.255.255.255 reject"},
		{rule: "host all all fd00::/8 scram-sha-256"},
		{rule: "host all all ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff trust"},
		{rule: "host all all .example.org scram-sha-256 # the office"},
		{rule: "host all all client_1.example.org scram-sha-256"},
		{rule: `host "odd, db" "odd user" all scram-sha-256`},
		{rule: `host "say ""hi""" all all password`},
		{rule: "host a, b all all scram-sha-256"},
		{rule: "local all app scram-sha-256"},
		{rule: "local all all peer map=other"},
		{rule: "# only a comment"},
		{rule: ""},
		{rule: "hostssl all all all cert clientcert=verify-full clientname=DN map=people"},
		{rule: "hostssl all all all scram-sha-256 clientcert=verify-ca"},
		{rule: `host all all all ldap ldapserver=ldap.example.org ldapprefix="cn=" ldapsuffix=", dc=example"`},
		{rule: "host all all all pam pamservice=postgresql"},
		{rule: "hostgssenc all all all gss include_realm=0 krb_realm=EXAMPLE.ORG"},
		{major: 18, rule: "hostssl all all all radius radiusservers=10.0.0.1 radiussecrets=s"},
		{major: 18, rule: `hostssl all all all oauth issuer=https://id.example.org scope="openid email"`},

		{rule: "hosts all all all md5", want: `"hosts" is not a connection type: use local, host,`},
		{rule: "host all all md5", want: "has 4 fields, a host rule needs type, database, user, address and method"},
		{rule: "host all all", want: "has 3 fields, a host rule needs"},
		{rule: "local all all", want: "has 3 fields, a local rule needs type, database, user and method"},
		{rule: "host all all 10.0.0.1 md5", want: "10.0.0.1 has no length: write 10.0.0.1/32 for this address alone"},
		{rule: "host all all 10.0.0.1 ffff:: md5", want: "10.0.0.1 has no length"},
		{rule: "host all all 10.0.0.1 255.255.255.255", want: "has no method"},
		{rule: "host all all 10.0.0.0/33 md5", want: `"10.0.0.0/33" is not an address range: want one like 10.0.0.0/8`},
		{rule: "host all all 10.0.0/8 md5", want: `"10.0.0/8" is not an address range`, strict: true},
		{rule: "host all all 10.0.0.256 md5", want: `"10.0.0.256" is not an address`, strict: true},
		{rule: "host all all * md5", want: `"*" is neither an address nor a host name: use all`, strict: true},
		{rule: "host all all 10.0.0.0/8,10.1.0.0/16 md5", want: "has more than one address"},
		{rule: "host all all all scram", want: `"scram" is not a method: use scram-sha-256, md5,`},
		{rule: "host all all all md5,trust", want: "has more than one method"},
		{rule: "host all all all sspi", want: "the method sspi does not exist on Linux"},
		{rule: "host all all all cert", want: "the method cert needs TLS: use hostssl"},
		{rule: "host all all all peer", want: "the method peer works over the socket only"},
		{rule: "local all all gss", want: "the method gss works over the network only"},
		{rule: "host all all all md5 clientcert", want: `"clientcert" is not an option: want name=value`},
		{rule: "host all all all md5 clientcert=verify-ca", want: "clientcert needs TLS: use hostssl"},
		{rule: "hostssl all all all md5 clientcert=1", want: "clientcert=1: use verify-ca or verify-full"},
		{rule: "hostssl all all all cert clientcert=verify-ca", want: "clientcert=verify-ca: the method cert takes verify-full only"},
		{rule: "hostssl all all all cert clientname=UID", want: "clientname=UID: use CN or DN"},
		{rule: "host all all all cert clientname=CN", want: "the method cert needs TLS"},
		{rule: "host all all all md5 map=x", want: "the option map is for ident, peer, gss, cert, oauth only, not for md5"},
		{rule: "host all all all md5 colour=red", want: `"colour" is not an option of pg_hba`},
		{rule: "host all all all ldap", want: "the method ldap needs the option ldapserver or ldapurl"},
		{rule: "host all all all ldap ldapserver=x", want: "the method ldap needs the option ldapurl or ldapbasedn"},
		{major: 17, rule: "host all all all oauth issuer=x scope=y", want: "the method oauth exists only from PostgreSQL 18 on, this is 17"},
		{major: 18, rule: "host all all all oauth issuer=x", want: "the method oauth needs the option scope"},
		{major: 19, rule: "host all all all radius radiusservers=x radiussecrets=y", want: "the method radius was removed in PostgreSQL 19"},
		{rule: `host "all all all md5`, want: "a double quote is not closed", strict: true},
		{rule: `host all all all md5 \`, want: "ends with a backslash", strict: true},
		{rule: "host all all all md5\nhost all all all trust", want: "holds a line end", strict: true},
		{rule: "include /etc/passwd", want: "include reads a file of the pod", strict: true},
		{rule: "include_dir conf.d", want: "include_dir reads a file of the pod", strict: true},
		{rule: "host @dbs all all md5", want: "@dbs reads a file of the pod", strict: true},
	}
}

//nolint:dupword // "all" is a keyword of several columns
func TestValidateHBA(t *testing.T) {
	for _, tc := range hbaCases() {
		t.Run(tc.rule, func(t *testing.T) {
			problems := ValidateHBA(tc.major, []string{"local all all reject", tc.rule})
			switch {
			case tc.want == "" && len(problems) > 0:
				t.Errorf("refused: %v", problems)
			case tc.want == "":
			case len(problems) != 1:
				t.Errorf("%d problems, want one: %v", len(problems), problems)
			case problems[0].Line != 2 || !strings.HasPrefix(problems[0].Message, tc.want):
				t.Errorf("line %d: %s\nwant line 2: %s", problems[0].Line, problems[0].Message, tc.want)
			}
		})
	}
}

//nolint:dupword // a user may be called alike on both sides
func TestValidateIdent(t *testing.T) {
	tests := map[string]string{
		`people "Ann Smith" ann`:      "",
		`people /^(.*)@example$ \1`:   "",
		"# comment":                   "",
		"people ann":                  "has 2 fields: want map name, system user and database user",
		"people ann ann ann":          "has 4 fields",
		"caretaker ann postgres":      "the map caretaker lets the instance itself in: use another name",
		`"caretaker" ann postgres`:    "the map caretaker lets the instance itself in",
		"include_if_exists other.map": "include_if_exists reads a file of the pod",
	}
	for line, want := range tests {
		t.Run(line, func(t *testing.T) {
			problems := ValidateIdent([]string{line})
			got := ""
			if len(problems) > 0 {
				got = problems[0].Message
			}
			if (got == "") != (want == "") || !strings.HasPrefix(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

//nolint:dupword // "all" is a keyword of several columns
func TestLineProblemNamesTheLine(t *testing.T) {
	problems := ValidateHBA(17, []string{"host all all all md5", "host all"})
	if len(problems) != 1 || problems[0].String() != "line 2 (host all): has 2 fields, "+
		"a host rule needs type, database, user, address and method" {
		t.Errorf("got %v", problems)
	}
}

func FuzzValidateHBA(f *testing.F) {
	for _, tc := range hbaCases() {
		f.Add(tc.rule)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		fields, err := splitHBALine(rule)
		for _, field := range fields {
			if len(field) == 0 {
				t.Errorf("%q has a field without a token", rule)
			}
		}
		if problems := ValidateHBA(17, []string{rule}); err != nil && len(problems) == 0 {
			t.Errorf("%q: %v, but it is accepted", rule, err)
		}
		if problems := ValidateIdent([]string{rule}); err != nil && len(problems) == 0 {
			t.Errorf("%q: %v, but pg_ident accepts it", rule, err)
		}
	})
}
