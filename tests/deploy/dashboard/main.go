// Reads a dashboard strictly, as Grafana's own types have it: an unknown key, a wrong type and a missing option are said,
// each with its path. It cannot say whether the queries have an answer; test_metrics.py asks a real Prometheus.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	raw, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	plugins.RegisterDefaultPlugins()
	var read dashboard.Dashboard
	// Where all is well it returns an error without a text.
	if err := read.UnmarshalJSONStrict(raw); err != nil && err.Error() != "" {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
