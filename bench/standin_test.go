package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/elazarl/goproxy"
)

// standIn is `postern run -c DIR` as far as this command can see it: a proxy that adds what the policy adds, an inbox
// that counts and delivers, and an admin listener. FAULT names what it does wrong.
func standIn(args []string) error {
	if len(args) != 2 || args[0] != "-c" {
		return fmt.Errorf("unexpected arguments %q", args)
	}
	read := func(file, pattern string) ([]string, error) {
		text, err := os.ReadFile(filepath.Join(args[1], file))
		if err != nil {
			return nil, err
		}
		var out []string
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			out = append(out, found[1])
		}
		return out, nil
	}
	if os.Getenv("FAULT") == "listener" { // somebody else has it, once
		if f, err := os.OpenFile(filepath.Join(os.Getenv("HOME"), "faulty"), os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			return errors.Join(syscall.EADDRINUSE, f.Close())
		}
	}
	listens, err1 := read("postern.hcl", `listen +=  *"(.*)"`)
	up, err2 := read("bench.hcl", `upstream  = "https://(.*)"`)
	to, err3 := read("webhooks.hcl", `to          = "(.*)"`)
	kind, err4 := read("bench.hcl", `credential "(.*)"`)
	tokenURL, err5 := read("bench.hcl", `token_url +=  *"(.*)"`)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	handler, err := standInProxy(args[1], up[0], standInCredential(args[1], kind[0], tokenURL, os.Getenv("FAULT")))
	if err != nil {
		return err
	}
	var accepted [3]atomic.Int64
	failed := make(chan error)
	serve := func(addr string, handler http.Handler) {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			failed <- err
			return
		}
		failed <- http.Serve(listener, handler)
	}
	go serve(listens[0], handler)
	go serve(listens[1], standInInbox(to, &accepted))
	go serve(listens[2], standInAdmin(&accepted))
	return <-failed
}

func standInProxy(dir, upstream string, credential func(*http.Request)) (http.Handler, error) {
	ca, err := interceptor("ecdsa")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "trust"), 0o700); err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate[0]})
	if err := os.WriteFile(filepath.Join(dir, "trust", "ca.pem"), block, 0o600); err != nil {
		return nil, err
	}
	proxy := goproxy.NewProxyHttpServer()
	proxy.AllowHTTP2 = true
	proxy.CertStore = new(certStore)
	proxy.Tr = pooledTransport(upstream, false, nil) // SSL_CERT_FILE must be enough
	action := &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: cachedConfig(&ca)}
	proxy.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		return action, host
	})
	fault := os.Getenv("FAULT")
	proxy.OnRequest().DoFunc(func(r *http.Request, _ *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		addPolicy(r, credential, fault)
		if fault == "resend" {
			if again, err := proxy.Tr.RoundTrip(r.Clone(r.Context())); err == nil {
				_, _ = io.Copy(io.Discard, again.Body)
				again.Body.Close()
			}
		}
		return r, nil
	})
	proxy.OnResponse().DoFunc(func(r *http.Response, _ *goproxy.ProxyCtx) *http.Response {
		spoil(r, fault)
		return r
	})
	return proxy, nil
}

func addPolicy(r *http.Request, credential func(*http.Request), fault string) {
	if fault != "credential" {
		credential(r)
	}
	if fault == "other_credential" {
		r.Header.Set("Authorization", "Bearer other")
	}
	if fault != "version" {
		r.Header.Set(versionName, versionValue)
	}
	if fault != "key" && r.Method == http.MethodPost {
		r.Header.Set(keyName, "k")
	}
}

func spoil(r *http.Response, fault string) {
	replace := func(at int, by byte) {
		b := make([]byte, at+1)
		_, _ = io.ReadFull(r.Body, b)
		b[at] = by
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(b), r.Body), r.Body}
	}
	switch fault {
	case "answer":
		replace(numberAt, '9')
	case "bytes", "stream":
		replace(500, '?')
	case "status":
		r.StatusCode, r.Status = http.StatusInternalServerError, "500 Internal Server Error"
	}
}

func standInInbox(to []string, accepted *[3]atomic.Int64) http.Handler {
	mux := http.NewServeMux()
	for at, target := range to {
		mux.Handle(target[strings.LastIndexByte(target, '/'):], inbox(func(e event) error {
			if n := accepted[at].Add(1); os.Getenv("FAULT") == "storing" && n == 1 {
				accepted[at].Add(-1)
			}
			if at == 1 {
				go func() {
					if answer, err := http.Post(target, "application/json", bytes.NewReader(e.body)); err == nil {
						answer.Body.Close()
					}
				}()
			}
			return nil
		}))
	}
	return mux
}

func standInAdmin(accepted *[3]atomic.Int64) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode("ok") })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		fmt.Fprintf(w, "go_memstats_mallocs_total %d\ngo_memstats_alloc_bytes_total %d\n", stats.Mallocs, stats.TotalAlloc)
		for at, name := range []string{"held", "now"} {
			fmt.Fprintf(w, "postern_inbox_requests_total{result=\"accepted\",webhook=%q} %d\n", name, accepted[at].Load())
		}
		n := accepted[2].Load()
		fmt.Fprintf(w, "postern_inbox_requests_total{result=\"accepted\",webhook=\"storm\"} %d\n", min(n, 1))
		fmt.Fprintf(w, "postern_inbox_requests_total{result=\"duplicate\",webhook=\"storm\"} %d\n", max(n-1, 0))
	})
	return mux
}
