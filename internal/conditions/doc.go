// Package conditions writes the three conditions that every kind of Caretaker has, after the kstatus conventions:
// Ready is the summary, Reconciling is present while something is under way, Stalled while only the user can help.
//
// It is pure. A condition is only touched when it changes, and its time of transition only when its status changes, so
// that a status computed twice from the same facts is the same status.
package conditions
