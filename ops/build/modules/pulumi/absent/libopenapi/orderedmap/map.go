// Package orderedmap has the map of a description that is never read.
package orderedmap

import "iter"

// Map holds nothing: there is no description that would fill it.
type Map[K comparable, V any] struct{}

// New is a map without entries.
func New[K comparable, V any]() *Map[K, V] { return nil }

// Len is nought.
func Len[K comparable, V any](*Map[K, V]) int { return 0 }

// Get finds nothing.
func (*Map[K, V]) Get(K) (V, bool) {
	var zero V
	return zero, false
}

// GetOrZero finds nothing.
func (*Map[K, V]) GetOrZero(K) V {
	var zero V
	return zero
}

// Set keeps nothing.
func (*Map[K, V]) Set(K, V) {}

// Delete removes nothing.
func (*Map[K, V]) Delete(K) {}

// FromOldest has no entries.
func (*Map[K, V]) FromOldest() iter.Seq2[K, V] { return func(func(K, V) bool) {} }

// KeysFromOldest has no keys.
func (*Map[K, V]) KeysFromOldest() iter.Seq[K] { return func(func(K) bool) {} }
