// Command bundle makes the bundle for the Operator Lifecycle Manager, bundle/ and bundle.Dockerfile.
//
// Nothing in it is written twice: the Deployment, the rights and the objects beside them are what the chart renders (read from
// standard input), the CRDs are those of config/crd, the examples those of config/samples. What only a bundle says is in
// config/manifests/bases. An object of the chart that OLM can neither install nor is known to leave out is an error.
package main
