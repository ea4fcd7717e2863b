// Package oci describes an image and writes it as one archive that containerd,
// Docker, podman and kind can load: an OCI layout with Docker's manifest.json
// beside it, as `docker save` makes them.
//
// Layers are not compressed: the archive never travels far, and unpacking is
// what loading takes longest for. No registry is ever asked for anything.
package oci
