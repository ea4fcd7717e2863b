// Package webapp is the controller of WebApps: a Deployment, a Service, and what belongs around them.
//
// One pass: observe → decide (package decide) → act → report. What is written is made by package build; the common
// ground of application kinds is in package application.
package webapp
