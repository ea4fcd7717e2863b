// Package dump keeps logical dumps in an object store: what a dump program writes goes there as a stream, and comes back as one.
//
//	data/<id>/00000000, …   chunks of the stream: compressed, encrypted if asked for, each one plain PUT
//	manifests/<id>.json     written last, put if absent: it makes the dump exist, and has the checksum of each chunk
//
// What was interrupted has no manifest; a later dump sweeps it away. store.go writes and reads, retention.go lets go,
// engine.go knows the dump programs and how they are told what, program.go runs them.
package dump
