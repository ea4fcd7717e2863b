package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// product is something to buy.
type product struct {
	ID    int    `json:"id"`
	Name  string `json:"name"`
	Cents int    `json:"cents"`
}

// store is the database.
type store struct{ db *sql.DB }

func openStore(address string) (*store, error) {
	db, err := sql.Open("pgx", address)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}

	db.SetMaxOpenConns(8)
	// A connection to a server that has become a replica takes no orders: do not keep it for long.
	db.SetConnMaxLifetime(time.Minute)

	return &store{db: db}, nil
}

// Close the connections.
func (s *store) Close() error { return s.db.Close() }

// Prepare makes the schema and the products, once. Several shops may start at the same time: a lock has them do it one
// after the other.
func (s *store) Prepare(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}

	defer func() { _ = tx.Rollback() }()

	for _, statement := range []string{
		`SELECT pg_advisory_xact_lock(7)`,
		`CREATE TABLE IF NOT EXISTS products (id int PRIMARY KEY, name text NOT NULL, cents int NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS orders (id text PRIMARY KEY, product int NOT NULL REFERENCES products, at timestamptz NOT NULL DEFAULT now())`,
		`INSERT INTO products VALUES (1, 'Anvil', 4900), (2, 'Rocket skates', 129900), (3, 'Earthquake pills', 1500) ON CONFLICT DO NOTHING`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("prepare the schema: %w", err)
		}
	}

	return tx.Commit()
}

// Products in their order.
func (s *store) Products(ctx context.Context) ([]product, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id, name, cents FROM products ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("read the products: %w", err)
	}

	defer func() { _ = rows.Close() }()

	var all []product

	for rows.Next() {
		var p product
		if err := rows.Scan(&p.ID, &p.Name, &p.Cents); err != nil {
			return nil, fmt.Errorf("read a product: %w", err)
		}

		all = append(all, p)
	}

	return all, rows.Err()
}

// Order commits an order. The same one twice is one.
func (s *store) Order(ctx context.Context, id string, product int) error {
	if _, err := s.db.ExecContext(ctx, `INSERT INTO orders (id, product) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, product); err != nil {
		return fmt.Errorf("write the order: %w", err)
	}

	return nil
}

// Orders are the ids of all orders.
func (s *store) Orders(ctx context.Context) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT id FROM orders ORDER BY at, id`)
	if err != nil {
		return nil, fmt.Errorf("read the orders: %w", err)
	}

	defer func() { _ = rows.Close() }()

	all := []string{}

	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read an order: %w", err)
		}

		all = append(all, id)
	}

	return all, rows.Err()
}
