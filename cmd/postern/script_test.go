package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"postern": main})
}

// TestScripts runs the command line as a person does: a command, then what it
// must print. $PORT1 to $PORT3 are free, $ROOT is the
// repository, and $CATALOG the folder of the catalogue's own policies and tests: in
// it those with keys and signatures, in services those with tokens of the
// application's own, in accounts those with tokens that people grant.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("ROOT", root)
			e.Setenv("CATALOG", filepath.Join(root, "catalog", "testdata"))
			e.Setenv("NO_COLOR", "1")
			e.Setenv("HOME", e.WorkDir)
			for i := range 3 {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return err
				}
				e.Setenv("PORT"+strconv.Itoa(i+1), strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
				if err := l.Close(); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// expand FILE...: replaces $NAME in files by the environment's values.
			"expand": func(ts *testscript.TestScript, _ bool, args []string) {
				for _, name := range args {
					text := os.Expand(ts.ReadFile(name), func(v string) string {
						if strings.HasPrefix(v, "PORT") {
							return ts.Getenv(v)
						}
						return "${" + v + "}"
					})
					ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
				}
			},
		},
	})
}
