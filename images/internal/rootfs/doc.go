// Package rootfs merges packages' files into one file tree and writes it as a
// tar archive whose bytes depend on nothing but the files: entries sorted,
// times fixed, numeric owners only, setuid bits off.
//
// The packages' maintainer scripts do not run. What of their work an image
// needs (users, a few links) is said by its recipe, so nothing random, such as
// keys, certificates or machine ids, can come about.
package rootfs
