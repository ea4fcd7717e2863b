package postgres

import "strconv"

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30

	defaultWALSegmentBytes = 16 * mib
)

// sizes derives what depends on the machine's size:
//
//	shared_buffers          25 % of the memory limit
//	effective_cache_size    75 % of the memory limit
//	min_wal_size            5 segments (PostgreSQL's own default of 80 MB, for any segment size)
//	max_wal_size            64 segments, at most 1/8 of the volume, at least 8 segments
//	wal_keep_size           512 MB, at most 1/16 of the volume
//	max_slot_wal_keep_size  1/4 of the volume; 4 GB when its size is unknown
//
// The three shares double on a volume that holds nothing but WAL. Without a memory limit
// PostgreSQL's own defaults stay.
func sizes(in Input) map[string]string {
	settings := walSizes(in.Storage)
	if in.MemoryLimitBytes > 0 {
		settings["shared_buffers"] = memory(in.MemoryLimitBytes / 4)
		settings["effective_cache_size"] = memory(in.MemoryLimitBytes / 4 * 3)
	}
	return settings
}

func walSizes(storage Storage) map[string]string {
	segment := storage.WALSegmentBytes
	if segment == 0 {
		segment = defaultWALSegmentBytes
	}
	maxWAL, keep, slots := 64*segment, 512*mib, 4*gib
	if storage.Bytes > 0 {
		share := storage.Bytes
		if storage.WALOnly {
			share *= 2
		}
		maxWAL = max(8*segment, min(maxWAL, share/8))
		keep = min(keep, share/16)
		slots = max(maxWAL, share/4)
	}
	return map[string]string{
		"min_wal_size":           memory(5 * segment),
		"max_wal_size":           memory(maxWAL),
		"wal_keep_size":          memory(keep),
		"max_slot_wal_keep_size": memory(slots),
	}
}

// memory writes bytes in PostgreSQL's units: whole MB, or kB below 1 MB; never less than
// 128 kB, the least that shared_buffers takes.
func memory(bytes int64) string {
	if bytes >= mib {
		return strconv.FormatInt(bytes/mib, 10) + "MB"
	}
	return strconv.FormatInt(max(bytes, 128*kib)/kib, 10) + "kB"
}
