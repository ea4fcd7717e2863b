// Package operator holds tests of the operator's process against a real API server: probes, leader election, metrics.
package operator
