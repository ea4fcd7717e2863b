// Command drift measures how long what somebody changes or deletes by hand stays so.
//
// It makes one object of each kind in a namespace of its own, on the development cluster with the operator that KUBECONFIG names. Of everything
// that the operator applies for them it then edits a field that the operator owns, and deletes what can be deleted without harm, and watches until
// it is right again. It prints a table of what belongs to which kind, and fails if something took longer than the promised 2 s. Nothing else should
// run there meanwhile.
package main
