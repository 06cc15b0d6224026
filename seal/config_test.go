package seal

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/postern-proxy/postern/config/block"
)

func TestConfig(t *testing.T) {
	newest, old := Generate(), Generate()
	for name, c := range map[string]struct{ src, want string }{
		"two":         {`keys = [env("NEWEST"), env("OLD")]`, ""},
		"one":         {`keys = env("NEWEST")`, ""},
		"none":        {`keys = []`, "At least one secret"},
		"no keys":     {``, "Missing required argument"},
		"written out": {`keys = ["` + newest + `"]`, "Secret written out"},
		"not a key":   {`keys = [env("NEWEST"), env("OTHER")]`, "seal.keys cannot be used: [secret env:OTHER]: it is no seal key"},
		"twice":       {`keys = [env("NEWEST"), env("NEWEST")]`, "is there twice"},
		"unset":       {`keys = [env("NOSUCH")]`, "[secret env:NOSUCH]"},
	} {
		f, diags := hclsyntax.ParseConfig([]byte(c.src), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		var cfg Config
		secrets := block.NewSecrets([]string{"NEWEST=" + newest, "OLD=" + old, "OTHER=sk_live_abcdef"})
		said := ""
		if diags := block.Decode(f.Body.(*hclsyntax.Body), block.NewContext("prod", secrets), &cfg); diags.HasErrors() {
			said = diags[0].Summary + ": " + diags[0].Detail
		} else if ring, err := cfg.Ring(); err != nil {
			said = err.Error()
		} else if k, _ := Parse(newest); ring.IDs()[0] != k.ID() {
			t.Errorf("%s: the newest is %s", name, ring.IDs()[0])
		}
		if c.want == "" && said != "" || !strings.Contains(said, c.want) {
			t.Errorf("%s: %q, want %q", name, said, c.want)
		}
		if strings.Contains(said, "sk_live_abcdef") || strings.Contains(said, newest) {
			t.Errorf("%s: it shows the secret: %s", name, said)
		}
	}
}
