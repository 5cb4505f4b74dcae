// Package sqlitex takes the place of the pool of connections.
package sqlitex

import (
	"context"

	"zombiezen.com/go/sqlite"
)

// Pool is never opened.
type Pool struct{}

// PoolOptions set up a Pool.
type PoolOptions struct{}

// NewPool always fails, which ends Loki's start.
func NewPool(string, PoolOptions) (*Pool, error) { return nil, sqlite.ErrLeftOut }

// Take always fails.
func (*Pool) Take(context.Context) (*sqlite.Conn, error) { return nil, sqlite.ErrLeftOut }

// Put does nothing.
func (*Pool) Put(*sqlite.Conn) {}

// Close always fails.
func (*Pool) Close() error { return sqlite.ErrLeftOut }

// ExecOptions go with a statement.
type ExecOptions struct {
	Args       []any
	Named      map[string]any
	ResultFunc func(*sqlite.Stmt) error
}

// Execute always fails.
func Execute(*sqlite.Conn, string, *ExecOptions) error { return sqlite.ErrLeftOut }

// Transaction ends without having begun.
func Transaction(*sqlite.Conn) func(*error) {
	return func(err *error) { *err = sqlite.ErrLeftOut }
}
