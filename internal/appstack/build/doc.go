// Package build makes the objects that an AppStack owns: a database, a cache, configuration, two WebApps, an Ingress and a
// PodMonitor. It is pure.
package build
