package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// event is a webhook that was verified: what an inbox keeps of it.
type event struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Account string `json:"account"`
	Created int64  `json:"created"`
	Data    struct {
		Object struct {
			ID string `json:"id"`
		} `json:"object"`
	} `json:"data"`
	header   string
	body     []byte
	received time.Time
}

// keep stores an event and returns once it is on disk.
type keep func(event) error

// inbox is the receiving half that both baselines share: verify, parse, keep, answer 200.
func inbox(keep keep) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "body", http.StatusBadRequest)
			return
		}
		now := time.Now()
		if err := verify(r.Header.Get("Stripe-Signature"), body, now); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		e := event{body: body, received: now, header: r.Header.Get("Content-Type")}
		if err := json.Unmarshal(body, &e); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		if err := keep(e); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
}

// verify checks `t=SECONDS,v1=HEX` over `SECONDS.body`, at most an hour old.
func verify(header string, body []byte, now time.Time) error {
	stamp, sum, ok := strings.Cut(header, ",v1=")
	stamp, found := strings.CutPrefix(stamp, "t=")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if !ok || !found || err != nil {
		return errors.New("no signature")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age.Abs() > time.Hour {
		return errors.New("stale signature")
	}
	given, err := hex.DecodeString(sum)
	if err != nil {
		return errors.New("bad signature")
	}
	mac := hmac.New(sha256.New, []byte(webhookSecret))
	mac.Write([]byte(stamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
	if !hmac.Equal(given, mac.Sum(nil)) {
		return errors.New("bad signature")
	}
	return nil
}

// serveInbox is the role of a baseline: open gives how to keep an event and how to count those on disk.
func serveInbox(args []string, open func(dir string) (keep, func() (int, error), error)) error {
	flags := flag.NewFlagSet("inbox", flag.ContinueOnError)
	dir := flags.String("dir", ".", "folder or database for the data")
	if err := flags.Parse(args); err != nil {
		return err
	}
	keep, count, err := open(*dir)
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: inbox(keep)}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	return serveRole(listener.Addr(), counted(count))
}

// counted answers how many events are on disk.
func counted(count func() (int, error)) *http.ServeMux {
	control := http.NewServeMux()
	control.HandleFunc("GET /stored", func(w http.ResponseWriter, _ *http.Request) {
		n, err := count()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(n)
	})
	return control
}
