// Package render renders the templates of an AppConfig: Go's text/template with those functions of sprig that neither
// reach out of the template (environment, files, network, clock, randomness) nor keep the same input from giving the
// same output.
//
// Rendering is bounded whatever the template does: every turn of a loop is counted, what functions read and make is
// charged before or after they run, the output is limited, and a deadline ends the rest. What a template breaks is told
// with line and column.
package render
