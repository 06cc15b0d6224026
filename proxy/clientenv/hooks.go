package clientenv

import "embed"

// NodeHook is the Node preload's place in the trust folder.
const NodeHook = "node/hook.cjs"

//go:embed hooks
var hookFiles embed.FS

// Hooks gives the files that runtimes load before the application, by their slash-separated path in the trust
// folder.
func Hooks() map[string][]byte {
	hooks := make(map[string][]byte)
	for _, name := range []string{NodeHook} {
		content, err := hookFiles.ReadFile("hooks/" + name)
		if err != nil {
			panic("clientenv: " + err.Error()) // the file is not in the binary: a mistake of the build
		}
		hooks[name] = content
	}
	return hooks
}
