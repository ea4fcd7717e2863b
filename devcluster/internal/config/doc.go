// Package config writes the configuration files of the programs that make up a
// cluster.
package config
