package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrCommand is the cause of a [SecretError] about a command that gave no value.
var ErrCommand = errors.New("the command gave no value")

// commandError says why a command gave none. It holds nothing that the program
// wrote: that may be a secret.
type commandError struct {
	why  string // a sentence that begins with the program's name
	said string // a part of its last message, without what looks like a secret; for the log and the terminal only
}

func (e *commandError) Error() string { return e.why }

// Is reports that e is an [ErrCommand].
func (e *commandError) Is(target error) bool { return target == ErrCommand }

// leftover is how long a program that has ended may keep its output open by a
// child.
const leftover = time.Second

// run runs the program once, without a shell, a terminal and input. Its value
// is what it writes to stdout, up to 64 KiB, without one newline at the end.
func (c command) run(ctx context.Context, environ []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	argv := c.argv()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, environ
	cmd.WaitDelay = leftover
	detach(cmd)
	out, said := &bounded{most: maxSecret + 2, full: cancel}, &bounded{most: maxSaid}
	cmd.Stdout, cmd.Stderr = out, said
	err := cmd.Run()
	value := strings.TrimSuffix(strings.TrimSuffix(out.String(), "\n"), "\r")
	fail := func(format string, args ...any) (string, error) {
		return "", &commandError{c.program() + " " + fmt.Sprintf(format, args...), harmless(said.String(), value)}
	}
	var ended *exec.ExitError
	var path *os.PathError
	switch {
	case out.over || len(value) > maxSecret:
		return fail("wrote more than 64 KiB")
	case errors.Is(err, exec.ErrWaitDelay):
		_ = cmd.Cancel()
		return fail("has ended, and a process that it started still holds its output")
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail("did not end within %v", c.timeout)
	case ctx.Err() != nil:
		return fail("was cut off, because Postern ends")
	case errors.Is(err, exec.ErrNotFound):
		return fail("is not on PATH")
	case errors.As(err, &ended):
		return fail("ended with %v", ended.ProcessState)
	case errors.As(err, &path):
		return fail("cannot be run: %v", path.Err)
	case err != nil:
		return fail("cannot be run: %v", err)
	case value == "":
		return fail("wrote nothing")
	case strings.Contains(value, "\x00"):
		return fail("wrote a NUL byte")
	case !utf8.ValidString(value):
		return fail("wrote what is no UTF-8: let it write Base64, and use base64decode()")
	}
	return value, nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	buf  bytes.Buffer
	most int
	over bool   // there was more
	full func() // what to do then, nil is to go on
}

func (b *bounded) Write(p []byte) (int, error) {
	room := min(len(p), b.most-b.buf.Len())
	b.buf.Write(p[:room])
	if room < len(p) && !b.over {
		if b.over = true; b.full != nil {
			b.full()
		}
	}
	return len(p), nil
}

func (b *bounded) String() string { return b.buf.String() }

// How much of a program's messages is read, and how much of the last one shown.
const (
	maxSaid  = 8 << 10
	maxShown = 200
)

// harmless is the last line of a program's messages, without what may be secret:
// what it wrote as its value, and every long word with a digit in it, as keys,
// tokens and ids are.
func harmless(said, value string) string {
	line := ""
	for l := range strings.Lines(strings.ToValidUTF8(said, ".")) {
		if l = strings.TrimSpace(l); l != "" {
			line = l
		}
	}
	for l := range strings.Lines(value) {
		if l = strings.TrimSpace(l); len(l) >= 4 {
			line = strings.ReplaceAll(line, l, "…")
		}
	}
	var b strings.Builder
	for line != "" && b.Len() < maxShown {
		n := strings.IndexFunc(line, func(r rune) bool { return !inWord(r) })
		if n < 0 {
			n = len(line)
		}
		word := line[:n]
		if n >= 12 && strings.ContainsAny(word, "0123456789") {
			word = "…"
		}
		b.WriteString(word)
		line = line[n:]
		for _, r := range line { // what is between words, and not to be printed
			if inWord(r) {
				break
			}
			if line = line[utf8.RuneLen(r):]; (r < ' ' || r > '~') && r != '…' {
				r = '.'
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

func inWord(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+/=_-.~", r)
}

// usual are the variables that a command gets whatever its option env names.
var usual = []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "SSL_CERT_FILE", "SSL_CERT_DIR", "SystemRoot"}

// environ is the environment of a command: as it was when this process started,
// without what is Postern's own (its variables, those of the service manager,
// and those that hold secrets of the policy); or, if the command has the option
// env, the usual variables and those that it names.
func (s *Secrets) environ(c command) []string {
	list := []string{} // not nil, which would be the whole environment
	var named []string
	if c.env != "" {
		named = append(slices.Clone(usual), parts(c.env)...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.env)) {
		keep := slices.Contains(named, name)
		if c.env == "" {
			keep = !s.commands.holds(name) && !strings.HasPrefix(name, "POSTERN_") && !strings.HasPrefix(name, "LISTEN_") && !strings.HasPrefix(name, "WATCHDOG_") && name != "NOTIFY_SOCKET"
		}
		if keep {
			list = append(list, name+"="+s.env[name])
		}
	}
	return list
}
