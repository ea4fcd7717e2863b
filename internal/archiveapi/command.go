package archiveapi

import "strings"

// ArchiveCommand has PostgreSQL ask the archiver behind a socket, by the program helper (caretaker-wal).
func ArchiveCommand(helper, socket string) string {
	return Quote(helper) + " --socket " + Quote(socket) + " push %p"
}

// RestoreCommand takes a segment that was fetched ahead out of the spool, and asks the archiver for anything else, see ADR 0139.
// Recovery waits for it once in 16 MiB, so that its shell starts the helper only where it must. That there is no such file is
// said by the helper's exit code alone: it stays the archive's own word.
func RestoreCommand(helper, socket, spoolDir string) string {
	spooled := Quote(spoolDir) + "/%f"

	return "[ -e " + spooled + " ] && mv " + spooled + " %p 2>/dev/null || exec " + Quote(helper) + " --socket " + Quote(socket) + " fetch %f %p"
}

// Quote a word for a shell whose line PostgreSQL replaces %f and %p in.
func Quote(word string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "%", "%%").Replace(word) + "'"
}
