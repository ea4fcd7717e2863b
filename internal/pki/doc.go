// Package pki decides which certificates a Cluster uses: its own CA and what that signs, or what the user's secrets hold.
//
// Plan is one function from what is observed to the data that the Cluster's three secrets and its two CA bundles should
// hold. It reads no clock and does no I/O. What it returned, observed again, gives the same bytes again, so that an idle
// operator writes nothing.
//
// Rotation never meets a party that does not know a CA. A CA is in the bundles long before it signs. A certificate whose
// CA differs from the one in use waits until the bundle with the new CA has been published for PublishPeriod, which is
// longer than a kubelet takes to refresh a mounted volume; the CA of a replaced certificate stays in the bundles for as
// long. The user's certificates pass through the same gate and are copied into the Cluster's own secrets: pods always
// mount the same names, and a broken secret never reaches a running instance.
package pki
