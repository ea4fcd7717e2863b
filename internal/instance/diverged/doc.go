// Package diverged keeps WAL aside that a member wrote beyond the point where another took over.
//
// What a primary wrote and no replica acknowledged is on no other volume. Before pg_rewind overwrites it, its segments are
// copied next to PGDATA, each time into a folder of its own with a manifest for people, so that pg_waldump can show what
// was in it. The folders are bounded in number and size.
package diverged
