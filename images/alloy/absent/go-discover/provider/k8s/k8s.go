// Package k8s takes the place of peer discovery by pods' labels.
package k8s

// Provider finds nobody.
type Provider struct{}
