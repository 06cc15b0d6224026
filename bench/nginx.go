package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// nginxConfig ends TLS with the upstream's own certificate, adds the credential and calls the upstream over kept,
// verified TLS connections. nginx knows no CONNECT: clients come to it directly, which spares it that exchange.
const nginxConfig = `daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	client_max_body_size 0;
	keepalive_requests 1000000000;
	upstream provider {
		server %[3]s;
		keepalive 256;
		keepalive_requests 1000000000;
	}
	server {
		listen %[2]s ssl http2 backlog=4096;
		server_name ` + host + `;
		ssl_certificate %[1]s/cert.pem;
		ssl_certificate_key %[1]s/key.pem;
		ssl_protocols TLSv1.3;
		ssl_ecdh_curve X25519;
		ssl_session_cache shared:tls:4m;
		location / {
			proxy_pass https://provider;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host ` + host + `;
			proxy_set_header Authorization "Bearer ` + bearer + `";
			proxy_set_header ` + versionName + ` ` + versionValue + `;
			proxy_ssl_protocols TLSv1.3;
			proxy_ssl_name ` + host + `;
			proxy_ssl_server_name on;
			proxy_ssl_verify on;
			proxy_ssl_trusted_certificate %[1]s/ca.pem;
			proxy_request_buffering off;
			proxy_max_temp_file_size 0;
			proxy_buffers 8 32k;
			proxy_buffer_size 8k;
		}
	}
}
`

func startNginx(ctx context.Context, set settings, f *field, upstream string) ([]*peer, error) {
	if leftOut(set, "nginx") {
		return nil, nil
	}
	p := &peer{name: "nginx", side: "outbound", about: "TLS in and out, no CONNECT, adds the credential and version"}
	binary, err := exec.LookPath(set.Nginx)
	if err != nil {
		p.missing = "no nginx here (apt install nginx-light, or -nginx PATH)"
		return []*peer{p}, nil
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(f.dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, f.dir, addr, upstream), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "-p", f.dir, "-c", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // a master that is killed leaves its workers
	if p.child, err = startChild(cmd, f.dir, "nginx", nil); err != nil {
		return nil, err
	}
	p.door = door{addr: addr, tls: clientTLS(f.certs.pool)}
	return []*peer{p}, until(ctx, 10*time.Second, p, func() error {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// until asks again and again whether a peer that was started serves; it fails when the peer ends or the time is over.
func until(ctx context.Context, limit time.Duration, p *peer, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-p.child.done:
			return fmt.Errorf("starting %s: %w: %s", p.name, errGone, p.child.tail())
		case <-ctx.Done():
			return fmt.Errorf("starting %s: %w: %s", p.name, err, p.child.tail())
		case <-again.C:
		}
	}
}
