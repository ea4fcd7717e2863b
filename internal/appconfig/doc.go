// Package appconfig is the controller of AppConfigs: templates become a ConfigMap and a Secret, with a history to roll
// back to, and the workloads that use them are restarted, each once for a change.
//
// One pass: observe (rendering included, package render) → decide (package decide) → act → report. Which workloads use
// the configuration is looked up when it changes, and only then: see docs/decisions/0090-users-of-configuration.md.
package appconfig
