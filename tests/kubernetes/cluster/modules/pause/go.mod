// What holds a pod's namespaces open in the tests' own cluster.
module groundwork.invalid/toolchain/pause

go 1.25.0
