// Package v1 holds the kinds of platform.caretaker.dev: AppStack, the parts of an application in the order in which they
// need each other, and EcommercePlatform, a shop that says little more than which environment it is for.
//
// An EcommercePlatform takes every object that the CustomResourceDefinition of the same name in the source documents
// takes, unless it could never run. Validation is CEL in the CRD first; what CEL cannot see turns into the condition
// Stalled.
//
// +kubebuilder:object:generate=true
// +groupName=platform.caretaker.dev
package v1
