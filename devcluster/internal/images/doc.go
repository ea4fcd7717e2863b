// Package images puts images into nodes' containerd, from archives, and packs the
// one image that every node needs.
package images
