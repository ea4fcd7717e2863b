// Package preset is what each environment of an EcommercePlatform means: one table, which is applied and which the
// documentation is made from. It is pure.
package preset
