package archiveapi

import "strings"

// ArchiveCommand has PostgreSQL ask the archiver behind a socket, by the program helper (caretaker-wal).
func ArchiveCommand(helper, socket string) string {
	return quote(helper) + " --socket " + quote(socket) + " push %p"
}

// RestoreCommand takes a segment that was fetched ahead out of the spool, and asks the archiver for anything else, see ADR 0139. It
// is for a shell, which has started the helper only where it must: recovery waits for this command once in 16 MiB. Only the
// helper's exit code is PostgreSQL's answer, so that "not there" stays the archive's own word.
func RestoreCommand(helper, socket, spoolDir string) string {
	spooled := quote(spoolDir) + "/%f"

	return "[ -e " + spooled + " ] && mv " + spooled + " %p 2>/dev/null || exec " + quote(helper) + " --socket " + quote(socket) + " fetch %f %p"
}

// quote for a shell that PostgreSQL replaces % for.
func quote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "%", "%%").Replace(path) + "'"
}
