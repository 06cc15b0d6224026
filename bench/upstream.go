package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
)

// peerHeader names who a call was sent through; every peer forwards it.
const peerHeader = "X-Bench-Peer"

// What a full policy must have added to a call.
const (
	bearer       = "bench-bearer-0123456789abcdef"
	versionName  = "Bench-Version"
	versionValue = "2026-11-23"
	keyName      = "Idempotency-Key"
)

// tally is what the upstream saw of one peer.
type tally struct {
	Requests  int64 `json:"requests"`
	Posts     int64 `json:"posts"`
	Authorize int64 `json:"with_authorization"`
	Wrong     int64 `json:"wrong_authorization"`
	Version   int64 `json:"with_version"`
	Key       int64 `json:"posts_with_key"`
	Damaged   int64 `json:"damaged"`
	Tokens    int64 `json:"tokens"` // that the peer asked for
}

// counters are a tally that many calls write.
type counters struct {
	requests, posts, authorize, wrong, version, key, damaged, tokens atomic.Int64

	proof proof // nil is bearer
}

func (c *counters) tally() tally {
	return tally{
		Requests: c.requests.Load(), Posts: c.posts.Load(), Authorize: c.authorize.Load(), Wrong: c.wrong.Load(),
		Version: c.version.Load(), Key: c.key.Load(), Damaged: c.damaged.Load(), Tokens: c.tokens.Load(),
	}
}

// seen is the upstream's answer on GET /seen.
type seen struct {
	Peers     map[string]tally `json:"peers"`
	Delivered int64            `json:"delivered"` // events delivered to /now
	Parked    int64            `json:"parked"`    // deliveries that were ever held
	Lives     map[string]int64 `json:"lives"`     // events delivered to /lives/PEER/life
}

// upstream is the provider, and on its control address the application that webhooks are delivered to.
type upstream struct {
	peers     sync.Map // name -> *counters
	proofs    map[string]proof
	want      []byte
	stream    []byte // one chunk
	buffers   sync.Pool
	delivered atomic.Int64
	parked    atomic.Int64
	lives     sync.Map // name -> *atomic.Int64
}

func upstreamRole(args []string) error {
	flags := flag.NewFlagSet("upstream", flag.ContinueOnError)
	dir := flags.String("certs", "", "folder of cert.pem and key.pem")
	h2 := flags.Bool("h2", true, "offer HTTP/2")
	if err := flags.Parse(args); err != nil {
		return err
	}
	u := &upstream{proofs: proofs(), want: document(small), stream: bytes.Repeat([]byte("y"), chunk)}
	u.buffers.New = func() any { return new([small]byte) }
	cert, err := tls.LoadX509KeyPair(filepath.Join(*dir, "cert.pem"), filepath.Join(*dir, "key.pem"))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(*h2)
	server := &http.Server{
		Handler:   u,
		Protocols: &protocols,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: 1000},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	go func() { _ = server.ServeTLS(listener, "", "") }()
	defer server.Close()
	control := http.NewServeMux()
	control.HandleFunc("GET /seen", u.seen)
	control.HandleFunc("POST /token", u.token)
	control.HandleFunc("POST /now", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		u.delivered.Add(1)
	})
	control.HandleFunc("POST /lives/{peer}/life", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n, _ := u.lives.LoadOrStore(r.PathValue("peer"), new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	})
	control.HandleFunc("POST /held", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		u.parked.Add(1)
		<-r.Context().Done()
	})
	return serveRole(listener.Addr(), control)
}

func (u *upstream) seen(w http.ResponseWriter, _ *http.Request) {
	out := seen{Peers: map[string]tally{}, Delivered: u.delivered.Load(), Parked: u.parked.Load(), Lives: map[string]int64{}}
	u.lives.Range(func(name, n any) bool {
		out.Lives[name.(string)] = n.(*atomic.Int64).Load()
		return true
	})
	u.peers.Range(func(name, c any) bool {
		out.Peers[name.(string)] = c.(*counters).tally()
		return true
	})
	_ = json.NewEncoder(w).Encode(out)
}

// ServeHTTP answers the paths that the scenarios call: /v1/items/N, /v1/items, /v1/streams/N, /v1/streams.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := u.count(r)
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/v1/items":
		u.store(w, r, c)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/streams":
		u.swallow(w, r, c)
	case r.Method == http.MethodGet && filepath.Dir(r.URL.Path) == "/v1/items":
		n, err := numberOf([]byte(filepath.Base(r.URL.Path)))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		u.answer(w, n)
	case r.Method == http.MethodGet && r.URL.Path == "/v1/streams/10m":
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(large))
		for range large / chunk {
			if _, err := w.Write(u.stream); err != nil {
				return
			}
		}
	default:
		http.NotFound(w, r)
	}
}

// of is what was seen of a peer.
func (u *upstream) of(name string) *counters {
	held, ok := u.peers.Load(name)
	if !ok {
		held, _ = u.peers.LoadOrStore(name, &counters{proof: u.proofs[name]})
	}
	return held.(*counters)
}

func (u *upstream) count(r *http.Request) *counters {
	c := u.of(r.Header.Get(peerHeader))
	c.requests.Add(1)
	if c.proof == nil {
		c.carried(r.Header.Get("Authorization") == "Bearer "+bearer, r)
	}
	if r.Header.Get(versionName) == versionValue {
		c.version.Add(1)
	}
	if r.Method == http.MethodPost {
		c.posts.Add(1)
		if r.Header.Get(keyName) != "" {
			c.key.Add(1)
		}
	}
	return c
}

// carried counts a request by its credential: the right one, another, or none.
func (c *counters) carried(right bool, r *http.Request) {
	switch {
	case right:
		c.authorize.Add(1)
	case r.Header.Get("Authorization") != "" || r.Header.Get(signatureName) != "" || r.Header.Get("Signature") != "":
		c.wrong.Add(1)
	}
}

// answer gives call n's document.
func (u *upstream) answer(w http.ResponseWriter, n uint64) {
	b := u.buffers.Get().(*[small]byte)
	defer u.buffers.Put(b)
	copy(b[:], u.want)
	numbered(b[:], n)
	w.Header()["Content-Type"] = []string{"application/json"}
	w.Header()["Content-Length"] = []string{strconv.Itoa(small)}
	_, _ = w.Write(b[:])
}

// store checks the document that was posted and answers with the same number.
func (u *upstream) store(w http.ResponseWriter, r *http.Request, c *counters) {
	b := u.buffers.Get().(*[small]byte)
	defer u.buffers.Put(b)
	got := 0
	for got < small {
		n, err := r.Body.Read(b[got:])
		got += n
		if err != nil {
			break
		}
	}
	n, err := numberOf(b[numberAt : numberAt+numberLen])
	if err == nil {
		err = sameDocument(b[:got], u.want, n)
	}
	if err != nil {
		c.damaged.Add(1)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if c.proof != nil {
		c.carried(c.proof(r, b[:got], n%sampled == 0), r)
	}
	u.answer(w, n)
}

// swallow reads a stream, checks every byte and answers with document 0.
func (u *upstream) swallow(w http.ResponseWriter, r *http.Request, c *counters) {
	if err := readStream(r.Body, u.stream, make([]byte, chunk)); err != nil {
		c.damaged.Add(1)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	u.answer(w, 0)
}
