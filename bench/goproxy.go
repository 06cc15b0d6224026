package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/elazarl/goproxy"
)

// goproxyRole is elazarl/goproxy intercepting TLS and doing nothing else, with every advantage its interfaces allow:
//
//   - certificate and tls.Config cached per host; P-256 leaves (-leaf rsa: what its own CA makes, for comparison)
//   - fixed session ticket keys, so that the Clone it makes per tunnel can resume sessions (by default it never can)
//   - upstream pool larger than any scenario, verified TLS, no compression in between
//   - no environment proxies, no logging, no filters; AllowHTTP2, which costs h1 clients nothing
func goproxyRole(args []string) error {
	flags := flag.NewFlagSet("goproxy", flag.ContinueOnError)
	certs := flags.String("certs", "", "folder of the upstream's ca.pem")
	up := flags.String("upstream", "", "address of the upstream")
	protocol := flags.String("protocol", "h1", "protocol to the upstream: h1 or h2")
	leaf := flags.String("leaf", "ecdsa", "kind of leaf certificate: ecdsa or rsa")
	out := flags.String("ca", "", "file to write the interceptor's CA certificate to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pool, err := trust(filepath.Join(*certs, "ca.pem"))
	if err != nil {
		return err
	}
	ca, err := interceptor(*leaf)
	if err != nil {
		return err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate[0]})
	if err := os.WriteFile(*out, block, 0o600); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	proxy := goproxy.NewProxyHttpServer()
	proxy.Logger = log.New(io.Discard, "", 0)
	proxy.ConnectDial = nil
	proxy.AllowHTTP2 = true
	proxy.KeepAcceptEncoding = true
	proxy.CertStore = new(certStore)
	proxy.Tr = pooledTransport(*up, *protocol == "h2", &tls.Config{RootCAs: pool})
	action := &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: cachedConfig(&ca)}
	proxy.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		return action, host
	})
	server := &http.Server{Handler: proxy, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	return serveRole(listener.Addr(), http.NewServeMux())
}

// pooledTransport sends every request to up, whatever its host, over connections that are kept.
func pooledTransport(up string, h2 bool, config *tls.Config) *http.Transport {
	var dialer net.Dialer
	var protocols http.Protocols
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, up)
		},
		TLSClientConfig:     config,
		Protocols:           &protocols,
		MaxIdleConnsPerHost: 256,
		DisableCompression:  true,
	}
}

// certStore is goproxy's certificate cache.
type certStore struct{ certs sync.Map }

// Fetch gives the host's certificate and makes it once.
func (s *certStore) Fetch(host string, make func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	once, _ := s.certs.LoadOrStore(host, sync.OnceValues(make))
	return once.(func() (*tls.Certificate, error))()
}

// cachedConfig is goproxy's own configuration for a host, made once, with ticket keys that outlive its clones.
func cachedConfig(ca *tls.Certificate) func(string, *goproxy.ProxyCtx) (*tls.Config, error) {
	own := goproxy.TLSConfigFromCA(ca)
	var configs sync.Map
	return func(host string, ctx *goproxy.ProxyCtx) (*tls.Config, error) {
		if config, ok := configs.Load(host); ok {
			return config.(*tls.Config), nil
		}
		config, err := own(host, ctx)
		if err != nil {
			return nil, err
		}
		var key [32]byte
		if _, err := rand.Read(key[:]); err != nil {
			return nil, fmt.Errorf("making a ticket key: %w", err)
		}
		config.SetSessionTicketKeys([][32]byte{key})
		kept, _ := configs.LoadOrStore(host, config)
		return kept.(*tls.Config), nil
	}
}
