// Package k8sattributesprocessor takes the place of a processor that asks Kubernetes for pods'
// labels.
//
// Alloy imports it for a feature gate of that processor, which nothing here configures. It brings
// a client for the whole of Kubernetes' API, a fifth of what is compiled for Alloy (decision 22).
package k8sattributesprocessor
