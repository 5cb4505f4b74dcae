// Package base has the schemas of a description that is never read.
package base

import (
	"errors"

	"go.yaml.in/yaml/v4"

	"github.com/pb33f/libopenapi/orderedmap"
)

// Schema has the fields that the CLI names.
type Schema struct {
	Type                         []string
	AllOf, OneOf, AnyOf          []*SchemaProxy
	Discriminator                *Discriminator
	Properties                   *orderedmap.Map[string, *SchemaProxy]
	AdditionalProperties, Items  *DynamicValue
	Required                     []string
	ReadOnly, Nullable           *bool
	Format, Pattern, Description string
	MinLength, MaxLength         *int64
	Minimum, Maximum, MultipleOf *float64
	Default                      *yaml.Node
	Enum                         []*yaml.Node
	Extensions                   *orderedmap.Map[string, *yaml.Node]
}

// Low is what a schema was read from.
type Low struct{}

// Hash is nought.
func (*Low) Hash() uint64 { return 0 }

// GoLow is nil: it was read from nothing.
func (*Schema) GoLow() *Low { return nil }

// MarshalJSONInline always fails.
func (*Schema) MarshalJSONInline() ([]byte, error) { return nil, errors.ErrUnsupported }

// SchemaProxy refers to no schema.
type SchemaProxy struct{}

// Schema is nil.
func (*SchemaProxy) Schema() *Schema { return nil }

// Discriminator tells schemas apart.
type Discriminator struct {
	PropertyName string
	Mapping      *orderedmap.Map[string, string]
}

// DynamicValue is a schema or a boolean.
type DynamicValue struct{ A *SchemaProxy }

// IsA is false.
func (*DynamicValue) IsA() bool { return false }
