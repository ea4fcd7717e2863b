// Command shop is the backend of the demonstration shop: a small real program, for tests that prove the whole chain from
// a frontend to a database.
//
//	GET  /products   the products, from the cache if it has them; the header X-Cache says hit, miss or off
//	POST /orders     {"id": "…", "product": 1}: 201 once the order is committed; the same id twice is one order
//	GET  /orders     the ids of all orders
//	GET  /healthz    the process runs
//	GET  /readyz     the database has answered
//	GET  /metrics    for Prometheus
//
// It takes DATABASE_URL, or DATABASE_HOST, _PORT, _NAME, _USER and _PASSWORD, and CACHE_HOST, _PORT and _PASSWORD. It opens
// its port, 8080 or PORT, once the schema is there.
package main
