// Package sqlite takes the place of the SQLite that Loki embeds to keep requests for deletion.
//
// Nothing here asks Loki to delete by request, and its default store for such requests is another
// one. SQLite, translated to Go, is an eighth of all that is compiled for Loki (decision 22).
// Whoever configures it is told at the start.
package sqlite

import "errors"

// ErrLeftOut is what everything here answers.
var ErrLeftOut = errors.New("this build of Loki holds no SQLite: leave delete_request_store_db_type at boltdb")

// OpenFlags tell how to open a database.
type OpenFlags uint

// The flags that Loki names.
const (
	OpenReadWrite OpenFlags = 1 << iota
	OpenCreate
)

// Conn is a connection that is never made.
type Conn struct{}

// OpenConn always fails.
func OpenConn(string, ...OpenFlags) (*Conn, error) { return nil, ErrLeftOut }

// Close always fails.
func (*Conn) Close() error { return ErrLeftOut }

// Changes is nought.
func (*Conn) Changes() int { return 0 }

// Backup is a copy that is never made.
type Backup struct{}

// NewBackup always fails.
func NewBackup(*Conn, string, *Conn, string) (*Backup, error) { return nil, ErrLeftOut }

// Step always fails.
func (*Backup) Step(int) (bool, error) { return false, ErrLeftOut }

// Close always fails.
func (*Backup) Close() error { return ErrLeftOut }

// Stmt is a statement without rows.
type Stmt struct{}

// ColumnInt is nought.
func (*Stmt) ColumnInt(int) int { return 0 }

// GetText is empty.
func (*Stmt) GetText(string) string { return "" }

// GetInt64 is nought.
func (*Stmt) GetInt64(string) int64 { return 0 }
