package postgres

import (
	"fmt"
	"strings"
)

const (
	// ReplicationUser is the role that standbys stream and rewind as; it has a client
	// certificate and no password.
	ReplicationUser = "streaming_replica"
	// Superuser is the role PID 1 works as, over the Unix socket.
	Superuser = "postgres"
	// LocalMap is the pg_ident map from the container's OS user to Superuser.
	LocalMap = "caretaker"
)

// HBAInput decides a server's pg_hba.conf.
type HBAInput struct {
	// Rules are postgresql.pg_hba of the manifest, already validated (ValidateHBA).
	Rules []string
	// SuperuserAccess is enableSuperuserAccess: whether Superuser may connect over the network.
	SuperuserAccess bool
	// ReplicationOnly keeps all clients out: a primary that must not show commits yet.
	ReplicationOnly bool
}

// RenderHBA writes pg_hba.conf. The first rule that matches a connection decides:
//
//  1. ours, which nothing may shadow: PID 1 over the socket, standbys by certificate;
//  2. the user's;
//  3. everyone else by password, scram-sha-256.
//
//nolint:dupword // "all" is a keyword of several columns
func RenderHBA(in HBAInput) string {
	var out strings.Builder
	section := func(comment string, rules ...string) {
		out.WriteString("# " + comment + "\n")
		for _, rule := range rules {
			out.WriteString(rule + "\n")
		}
	}
	section("Written by Caretaker; changes made here are lost.")
	section("PID 1, over the socket.",
		fmt.Sprintf("local all %s peer map=%s", Superuser, LocalMap),
		fmt.Sprintf("local replication %s peer map=%s", Superuser, LocalMap))
	section("Standbys, by client certificate only.",
		fmt.Sprintf("hostssl replication %s all cert", ReplicationUser),
		fmt.Sprintf("hostssl %s %s all cert", Superuser, ReplicationUser),
		fmt.Sprintf("host all,replication %s all reject", ReplicationUser))
	if in.ReplicationOnly {
		section("Clients wait until this primary is established.",
			"local all all reject", "host all,replication all all reject")
		return out.String()
	}
	if !in.SuperuserAccess {
		section("enableSuperuserAccess is false.", fmt.Sprintf("host all,replication %s all reject", Superuser))
	}
	if len(in.Rules) > 0 {
		section("postgresql.pg_hba of the manifest.", in.Rules...)
	}
	section("Everyone else, by password.", "local all all scram-sha-256", "host all all all scram-sha-256")
	return out.String()
}
