// Package v1 holds the kinds of apps.caretaker.dev: WebApp, a web application made of a Deployment, a Service and what
// belongs around them.
//
// Validation is CEL in the CRD first; what CEL cannot see is checked at reconcile and turns into the condition Stalled.
//
// +kubebuilder:object:generate=true
// +groupName=apps.caretaker.dev
package v1
