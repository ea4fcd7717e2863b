// Package layout names the objects of an archive. Everything of one server lies under its name:
//
//	<server>/identity.json                                   whose archive this is: the system identifier
//	<server>/wal/<timeline>/<log>/<segment>                  a WAL segment; <log> is the middle of its name
//	<server>/wal/<timeline>/<log>/<segment>.partial          what a promotion left unfinished on the old timeline
//	<server>/wal/<timeline>/<log>/<segment>.<offset>.backup  a backup's marker
//	<server>/history/<timeline>.history                      a timeline's history
//	<server>/backups/<name>/…                                base backups, the manifest last
//	<server>/terms/<term>                                    who was promoted when
//
// A segment's name does not depend on how it is compressed or encrypted: two writers of one segment always meet.
package layout
