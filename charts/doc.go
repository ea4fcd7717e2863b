// Package charts holds the Helm chart, and the tests of what it renders.
package charts
