package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// client is the program that makes the calls.
type client struct {
	name string
	args []string
}

const (
	npmWithin = 90 * time.Second
	mark      = "node/node_modules/.setup-lock" // what setup.sh leaves when all is installed
)

// chooseClient takes stripe-node if there is a Node that can run it, else Go's
// HTTP client in a process of its own.
func chooseClient(ctx context.Context, a *account) client {
	why := stripeNode(ctx, a)
	if why == "" {
		return client{"stripe-node and fetch", []string{"node", filepath.Join(workDir(), "demo", "app.mjs")}}
	}
	if ctx.Err() == nil {
		a.step("client", "Go's http client, because %s", why)
	}
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return client{"Go's http client", []string{self, "-app"}}
}

// stripeNode sees to it that stripe-node is installed, or returns why it is not.
func stripeNode(ctx context.Context, a *account) (why string) {
	out, err := exec.CommandContext(ctx, "node", "-p", "process.versions.node").Output()
	if err != nil {
		return "there is no Node here"
	}
	node := strings.TrimSpace(string(out))
	var major int
	if _, err := fmt.Sscanf(node, "%d.", &major); err != nil || major < 20 {
		return "Node " + node + " is older than 20"
	}
	version := installed()
	if version == "" {
		a.step("client", "installing stripe-node by npm ci, for at most %s", npmWithin)
		if err := npm(ctx); err != nil {
			return "stripe-node could not be installed (" + err.Error() + ")"
		}
		version = installed()
	}
	if version == "" {
		return "stripe-node is not installed"
	}
	a.step("client", "stripe-node %s on Node %s, its own retries off", version, node)
	return ""
}

// installed is the version of stripe-node in node/, "" if it is not there, or in part only.
func installed() string {
	if _, err := os.Stat(mark); err != nil {
		return ""
	}
	var pkg struct{ Version string }
	b, err := os.ReadFile("node/node_modules/stripe/package.json")
	if err != nil || json.Unmarshal(b, &pkg) != nil {
		return ""
	}
	return pkg.Version
}

// npm installs what setup.sh would, and leaves its mark.
func npm(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, npmWithin, fmt.Errorf("not within %s", npmWithin))
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=1000")
	cmd.Dir = "node"
	cmd.SysProcAttr = child()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("npm ci: %w: %.80s", err, first)
	}
	lock, err := os.ReadFile("node/package-lock.json")
	if err != nil {
		return err
	}
	return os.WriteFile(mark, lock, 0o644)
}

func workDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	return dir
}
