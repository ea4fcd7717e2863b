// Package compress holds the compressions of WAL and backups behind one type.
//
// zstd at its fastest level is the default: it outruns most disks on one core. gzip, lz4, snappy and none are there
// because existing manifests ask for them. bzip2 and xz are refused: they cannot keep up with a busy server's WAL.
package compress
