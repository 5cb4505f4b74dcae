// Package v3 has the operations of a description that is never read.
package v3

import (
	"go.yaml.in/yaml/v4"

	"github.com/pb33f/libopenapi/datamodel/high/base"
	"github.com/pb33f/libopenapi/orderedmap"
)

// Document has the fields that the CLI names, as every type here.
type Document struct {
	Info       *Info
	Components *Components
	Paths      *Paths
}

// Info is about the description.
type Info struct{ Version string }

// Components are its schemas.
type Components struct {
	Schemas *orderedmap.Map[string, *base.SchemaProxy]
}

// Paths are its operations by path.
type Paths struct {
	PathItems *orderedmap.Map[string, *PathItem]
}

// PathItem has the operations of one path.
type PathItem struct{ Get, Post, Put, Delete, Patch, Head *Operation }

// Operation is one request.
type Operation struct {
	OperationId, Summary, Description string
	Tags                              []string
	Parameters                        []*Parameter
	RequestBody                       *RequestBody
	Responses                         *Responses
	Deprecated                        *bool
	Extensions                        *orderedmap.Map[string, *yaml.Node]
}

// Parameter is one of an operation's.
type Parameter struct {
	Name, In, Description string
	Required              *bool
	Schema                *base.SchemaProxy
}

// RequestBody is an operation's.
type RequestBody struct {
	Content *orderedmap.Map[string, *MediaType]
}

// Responses are an operation's, by status.
type Responses struct {
	Codes   *orderedmap.Map[string, *Response]
	Default *Response
}

// Response is one of them.
type Response struct {
	Description string
	Content     *orderedmap.Map[string, *MediaType]
}

// MediaType is one form of a content.
type MediaType struct{ Schema *base.SchemaProxy }
