// Package scenario is the table of fault tests and the runner of one: clients write and read, something is going on, a fault
// is injected and healed, the cluster must be whole again within two minutes, and the history is judged.
package scenario
