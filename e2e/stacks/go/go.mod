module tessera.rs/e2e/stacks

go 1.25.0
