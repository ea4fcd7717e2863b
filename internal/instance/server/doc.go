// Package server runs postgres as a child of PID 1: start, reload, orderly stop.
package server
