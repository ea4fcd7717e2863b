// Package uses says whether pods use a ConfigMap or a Secret, by whichever of the ways that Kubernetes has. It is pure.
package uses
