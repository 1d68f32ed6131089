// vault: HashiCorp Vault built from its published module, for tests and the demo only.
//
// Vault is under the Business Source License: it is built where it is used and never shipped.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() { os.Exit(command.Run(os.Args[1:])) }
