// Package libopenapi takes the place of the library by which `pulumi cloud api` reads the
// description of Pulumi Cloud's API.
//
// Where the CLI is built here, Pulumi Cloud cannot be reached, and stacks are kept elsewhere. The
// library's generic types are a quarter of the time that the CLI takes to compile (decision 22).
// Whoever runs that command is told.
package libopenapi

import (
	"errors"

	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Document is a description that is never read.
type Document struct{}

// DocumentModel is its content.
type DocumentModel[T any] struct{ Model T }

// NewDocument always fails.
func NewDocument([]byte) (*Document, error) {
	return nil, errors.New("this build of the Pulumi CLI knows no API of Pulumi Cloud: take the official one")
}

// BuildV3Model always fails, as NewDocument does.
func (*Document) BuildV3Model() (*DocumentModel[v3.Document], error) {
	_, err := NewDocument(nil)
	return nil, err
}
