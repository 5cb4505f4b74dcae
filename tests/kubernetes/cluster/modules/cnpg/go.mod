// CloudNativePG's own definition of a cluster, against which the tests hold ours. Nothing of it is built.
module groundwork.invalid/toolchain/cnpg

go 1.25.0

require github.com/cloudnative-pg/cloudnative-pg v1.28.0
