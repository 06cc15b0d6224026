package postern

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestImageContext: what .dockerignore lets through is what the binary is made
// of; a package that it forgets breaks the build of the image alone.
func TestImageContext(t *testing.T) {
	imports := map[string][]string{}
	for _, s := range sources(t) {
		for _, imp := range s.file.Imports {
			path, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if ours, ok := strings.CutPrefix(path, module); ok {
				imports[s.folder] = append(imports[s.folder], ours)
			}
		}
	}
	allowed := map[string]bool{}
	for line := range strings.Lines(read(t, ".dockerignore")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			allowed[name] = true
		}
	}
	seen := map[string]bool{}
	var visit func(folder string)
	visit = func(folder string) {
		if seen[folder] {
			return
		}
		seen[folder] = true
		if top, _, _ := strings.Cut(folder, "/"); !allowed[top] {
			t.Errorf(".dockerignore leaves out %s, which the binary needs", top)
		}
		for _, next := range imports[folder] {
			visit(next)
		}
	}
	visit("cmd/postern")
	if !seen["config/block"] {
		t.Error("the imports were not followed")
	}
}

// TestImageStages: the image is built without emulation, fetches nothing by
// address, and says which version it is and what it is made of.
func TestImageStages(t *testing.T) {
	text := strings.ReplaceAll(read(t, "Dockerfile"), "\\\n", " ")
	for _, must := range []string{
		`(?m)^FROM --platform=\$BUILDPLATFORM golang:`, `GOOS=\$\{TARGETOS\} GOARCH=\$\{TARGETARCH\} go build`,
		`org\.opencontainers\.image\.version="\$\{VERSION\}"`, `org\.opencontainers\.image\.revision="\$\{REVISION\}"`,
		`(?m)^COPY --from=build /out/postern\.cdx\.json `, `(?m)^USER \d+:\d+$`, `(?m)^HEALTHCHECK `,
	} {
		if !regexp.MustCompile(must).MatchString(text) {
			t.Errorf("the Dockerfile lacks %s", must)
		}
	}
	if regexp.MustCompile(`(?m)^ADD `).MatchString(text) || strings.Contains(text, "curl") {
		t.Error("the Dockerfile fetches something by its address")
	}
	stages := regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(text, -1)
	last := text[strings.LastIndex(text, stages[len(stages)-1]):]
	for _, arg := range []string{"VERSION", "REVISION"} {
		if !strings.Contains(last, "\nARG "+arg) {
			t.Errorf("the last stage does not know %s: its label would be empty", arg)
		}
	}
	tool := regexp.MustCompile(`cyclonedx-gomod@v[\d.]+`)
	if a, b := tool.FindString(text), tool.FindString(read(t, filepath.Join(".", "Makefile"))); a == "" || a != b {
		t.Errorf("the Dockerfile makes the SBOM by %q, the Makefile by %q", a, b)
	}
}
