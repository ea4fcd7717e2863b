// Package oci describes an image and writes it as one archive that containerd,
// Docker, podman and kind can load: an OCI layout with Docker's manifest.json
// beside it, as `docker save` makes them.
//
// Layers are compressed with zstd, which loads fastest. No registry is ever
// asked for anything.
package oci
