// Command chaos breaks a PostgreSQL cluster while clients write to it, and judges what they were told.
//
//	chaos run    the cases of the table, or those that -case and -set choose
//	chaos soak   failovers and switchovers in turn, as many as asked for
//	chaos bench  measures the gaps of docs/benchmarks.md
//	chaos break  a menu of faults, for people who want to see one
//	chaos list   the table
//	chaos check  judges a history again
//
// Histories and verdicts go to build/artifacts/chaos. docs/how-to/test-failover.md tells how to point it at any cluster.
package main
