// Package basebackup takes, restores, verifies, lists, copies and expires base backups in an object store.
//
//   - Take backs up a running server's data directory: whole, or what changed since another backup.
//   - Catalogue lists what a store holds, from the store alone; Select finds the backup to begin a recovery with.
//   - Restore makes a data directory of a backup and its parents, or brings one that is there up to it; RecoverySettings
//     are what the server must be started with afterwards, and CheckReachable says beforehand whether the WAL is there.
//   - Verify reads everything back and says whether a backup can be restored, and why not.
//   - Expire marks what a retention policy no longer needs, and later deletes it and the WAL that only it needed.
//   - Copy brings a backup, its parents and their WAL to a second store.
//
// All take a Store of one server: objectstore.Within(store, server). Keys are below layout.BackupsPrefix: packs of frames
// (frame.go), an index of files, and the manifest, which is put last and makes the backup exist. A frame holds at most
// 1 MiB, is compressed, then sealed if the backup is encrypted, and has a checksum of its own.
//
// Memory of Take and Restore: about workers × 2 × pack size, and the index.
package basebackup
