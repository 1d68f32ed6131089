module tessera.rs/hack/openreports

go 1.26

require github.com/openreports/reports-api v0.2.1
