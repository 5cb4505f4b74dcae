// Command pulumi-resource-docker serves kreuzwerker's Terraform Docker provider to Pulumi.
//
// It exists for machines that cannot download the official plug-in. Only the resources
// that Groundwork declares are mapped; their tokens and property names equal those of the
// pulumi-docker package on PyPI, so the same program runs against either plug-in.
package main

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// version is set by the linker; it must equal the version of pulumi-docker in the lock file.
var version = "0.0.0"

const defaultHost = "unix:///var/run/docker.sock"

func main() {
	terraform := sdkv2.NewProvider(provider.New(version)())
	keep := map[string]*tfbridge.ResourceInfo{
		"docker_container": {
			Tok:                 tokens.Type("docker:index/container:Container"),
			DeleteBeforeReplace: true,
			// These two names are not made plural in the package.
			Fields: map[string]*tfbridge.SchemaInfo{
				"command":           {Name: "command"},
				"networks_advanced": {Name: "networksAdvanced"},
			},
		},
		"docker_image":   {Tok: tokens.Type("docker:index/remoteImage:RemoteImage")},
		"docker_network": {Tok: tokens.Type("docker:index/network:Network")},
		"docker_volume":  {Tok: tokens.Type("docker:index/volume:Volume")},
	}
	info := tfbridge.ProviderInfo{
		P:         terraform,
		Name:      "docker",
		Version:   version,
		Resources: keep,
		Config: map[string]*tfbridge.SchemaInfo{
			"host":          {Default: &tfbridge.DefaultInfo{EnvVars: []string{"DOCKER_HOST"}, Value: defaultHost}},
			"registry_auth": {Name: "registryAuth", MaxItemsOne: tfbridge.False()},
		},
	}
	ignore := func(name string) {
		if keep[name] == nil {
			info.IgnoreMappings = append(info.IgnoreMappings, name)
		}
	}
	terraform.ResourcesMap().Range(func(name string, _ shim.Resource) bool { ignore(name); return true })
	terraform.DataSourcesMap().Range(func(name string, _ shim.Resource) bool { ignore(name); return true })
	tfbridge.Main("docker", version, info, []byte(`{"name":"docker","version":"`+version+`"}`))
}
