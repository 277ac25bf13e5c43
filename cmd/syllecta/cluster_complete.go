package main

import "github.com/spf13/cobra"

// completeNode completes the one node that a verb takes.
func completeNode(f *adminFlags) cobra.CompletionFunc { return onlyOne(completeNodes(f)) }
