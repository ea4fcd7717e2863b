// Package decide is what the Cluster controller thinks: from a View of a Cluster to a Plan. It is pure and total: no
// context, client, clock, randomness or error.
//
// Plan runs the steps in their order, one file each: inplace, record, objects, volumes, hibernate, pods, scale, rollout,
// configure, passwords, restart. A step adds actions and may say what is waited for; the first to say so is heard. Members, status
// and outcome describe what is seen. Rules that all steps keep:
//
//   - nothing is made or changed for an invalid spec; only a lost pod of an established Cluster comes back.
//     The user's certificates are the exception: an established Cluster goes on with the last good ones
//   - at most one irreversible action in a pass
//   - at most one instance is taken down at a time, the primary last; hibernation is the exception
//   - the primary's volume is never deleted
package decide
