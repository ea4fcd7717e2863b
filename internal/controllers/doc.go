// Package controllers is the list of the operator's controllers: the one place where each is added and given its options.
package controllers
