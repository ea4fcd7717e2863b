// Package command is what the main functions of all our programs have in common.
package command
