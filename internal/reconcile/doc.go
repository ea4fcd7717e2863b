// Package reconcile is the shell that every controller shares: fetch the object, run one pass over it, sort what came
// out of it, count and log.
//
// A pass is Observe → Decide → Act → Report: a read-only snapshot, a pure decision over it, the actions in order up to
// the first failure, one status write, and then the events. Errors fall into three classes, sorted here and nowhere
// else: conflicts are retried silently, retryable ones with exponential backoff and jitter, permanent ones not before
// something changes.
//
// A controller sees its own status writes, unless it looks again soon in any case. Without that the pass that the event of an owned object
// brings may be the last one, having read the status of before the write that it should correct: "applying changes" then stays for ever.
package reconcile
