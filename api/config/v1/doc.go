// Package v1 holds the kinds of config.caretaker.dev: AppConfig, the configuration of an application in an environment.
//
// Validation is CEL in the CRD first; what CEL cannot see, such as an error in a template, is checked at reconcile and
// turns into the condition Stalled.
//
// +kubebuilder:object:generate=true
// +groupName=config.caretaker.dev
package v1
