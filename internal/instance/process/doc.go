// Package process owns every child process of PID 1.
//
// PID 1 inherits orphans: backends that outlive a killed postmaster, what an archive command left behind. They must be
// reaped with wait4(-1), which would steal the exit status from os/exec. So nothing here uses os/exec: one Table starts
// all children and is the only one to wait.
package process
