// Package application is the common ground of the controllers of application kinds (WebApp, AppConfig, …).
//
// It reads what an object owns, makes the changes that package owned has decided, turns a failure into what the status
// says, writes the status once, and tells what has happened as events. What an object should own, and what is waited
// for, is each kind's own.
package application
