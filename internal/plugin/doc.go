// Package plugin is what `kubectl caretaker` does: it shows how a Cluster is, and asks for a switchover, a backup
// or a Cluster made of one.
//
// It needs no rights but the user's own. What a Cluster's status says is read from the API server. Numbers that move by
// themselves (lag, log positions, disk use) are no part of that status: they are asked of the instances, by running
// `caretaker-instance status` in each pod, since the instances' own port demands a certificate that no user should hold.
// Who may not exec in pods, or asks while an instance does not answer, gets everything else and is told what is missing.
//
// Gather makes a View, the pure part turns it into a sentence, advice and text; Promotion and Taking ask and
// follow, Restoration makes a manifest, DumpRestoration a Job.
package plugin
