// Package discover takes the place of HashiCorp's library that finds Alloy's peers among the
// machines of a cloud.
//
// This Alloy has no peers: main.go starts it alone. The library brings the clients of fourteen
// clouds, which are two fifths of all that is compiled for Alloy (decision 22).
package discover

import (
	"errors"
	"log"
)

// Provider finds addresses in one cloud; there is none.
type Provider any

// Providers is empty, as all of them are left out.
var Providers = map[string]Provider{}

// Option sets up a Discover.
type Option func(*Discover) error

// Discover finds nobody.
type Discover struct{}

// New always fails: this build of Alloy forms no cluster.
func New(...Option) (*Discover, error) {
	return nil, errors.New("this build of Alloy has no peer discovery")
}

// WithProviders is an option without an effect.
func WithProviders(map[string]Provider) Option {
	return func(*Discover) error { return nil }
}

// Addrs always fails, as New does.
func (*Discover) Addrs(string, *log.Logger) ([]string, error) {
	_, err := New()
	return nil, err
}
