// Package workload is the clients of a fault test. They write and read as an application does: through one address, with short
// timeouts, connecting anew after each error, and they write down what they were told.
package workload
