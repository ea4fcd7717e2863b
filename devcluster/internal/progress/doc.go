// Package progress tells the user what the tool is doing, and how long that took.
package progress
