// Package rosetta tells whether macOS translates this program: on Linux it never does.
package rosetta

// Enabled is false outside macOS.
func Enabled() bool { return false }

// NativeArch is empty where nothing is translated.
func NativeArch() string { return "" }
