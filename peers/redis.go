package peers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Redis keeps nothing on disk: what it knows is gone when it ends.
type Redis struct{ server }

// RedisOptions are what it is started with.
type RedisOptions struct {
	// Settings are lines of redis.conf, as {"maxmemory": "2mb", "maxmemory-policy": "allkeys-lru"}.
	Settings map[string]string
}

// StartRedis starts a Redis. dir is as for StartPostgres.
func StartRedis(dir string, o RedisOptions) (*Redis, error) {
	program, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	s, err := newServer(dir, "redis")
	if err != nil {
		return nil, err
	}
	r := &Redis{*s}
	r.polite, r.ready = sigTerm, r.serves
	settings := map[string]string{"bind": "127.0.0.1", "port": port(r.addr), "save": "", "appendonly": "no"}
	maps.Copy(settings, o.Settings)
	r.argv = []string{program}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		r.argv = append(r.argv, "--"+name, settings[name])
	}
	if err := r.Start(); err != nil {
		return nil, closed(r, err)
	}
	return r, nil
}

// URL is the address for clients.
func (r *Redis) URL() string { return "redis://" + r.addr + "/0" }

// Flush makes it forget everything.
func (r *Redis) Flush() error {
	_, err := r.Do("FLUSHALL")
	return err
}

// Do sends one command and returns the reply as text: "" for nil, the elements of an array a line each.
func (r *Redis) Do(args ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", r.addr, redisWithin)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(redisWithin)); err != nil {
		return "", err
	}
	command := fmt.Sprintf("*%d\r\n", len(args))
	for _, arg := range args {
		command += fmt.Sprintf("$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(conn, command); err != nil {
		return "", fmt.Errorf("asking Redis: %w", err)
	}
	text, err := reply(bufio.NewReader(conn))
	if err != nil {
		return "", fmt.Errorf("asking Redis: %w", err)
	}
	return text, nil
}

// redisWithin bounds one command. The commands of tests take microseconds.
const redisWithin = 5 * time.Second

// serves asks the Redis at the address whether it is that process.
func (r *Redis) serves(pid int) error {
	info, err := r.Do("INFO", "server")
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("\r\nprocess_id:%d\r\n", pid)) {
		return errors.New("another Redis answers")
	}
	return nil
}

// reply reads one reply of RESP2 (redis.io/docs/latest/develop/reference/protocol-spec).
func reply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, line := line[0], strings.TrimRight(line[1:], "\r\n")
	if kind == '+' || kind == ':' {
		return line, nil
	}
	if kind == '-' {
		return "", errors.New(line)
	}
	n, err := strconv.Atoi(line)
	if err != nil || n > 1<<26 {
		return "", fmt.Errorf("no reply of RESP2: %c%.20q", kind, line)
	}
	switch {
	case n < 0:
		return "", nil
	case kind == '$':
		text := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(r, text)
		return string(text[:n]), err
	case kind == '*':
		var list []string
		for range n {
			text, err := reply(r)
			if err != nil {
				return "", err
			}
			list = append(list, text)
		}
		return strings.Join(list, "\n"), nil
	}
	return "", fmt.Errorf("no reply of RESP2: %c%.20q", kind, line)
}
