// Package appstack looks after AppStacks: applications of several parts that need each other.
//
// Each part is an object of another kind, a PostgreSQL or a MySQL, an AppConfig, two WebApps; the cache is made here. What
// is ready is what those objects say of themselves.
package appstack
