package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// everything is what a careless policy would open.
var everything = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func TestC12SpecialAddresses(t *testing.T) {
	const (
		public  = "public"
		special = "special" // private_networks can open it
		never   = "never"
	)
	tests := []struct{ addr, want string }{
		{"8.8.8.8", public},
		{"104.18.0.1", public},
		{"172.15.255.255", public},
		{"172.32.0.1", public},
		{"100.63.255.255", public},
		{"100.128.0.1", public},
		{"198.17.255.255", public},
		{"198.20.0.1", public},
		{"223.255.255.255", public},
		{"2606:4700::1111", public},
		{"2a00:1450:4001::1", public},
		{"::ffff:8.8.8.8", public},
		{"64:ff9b::8.8.8.8", public},            // NAT64 of a public address
		{"2606:4700::5efe:808:808", public},     // ISATAP of a public address
		{"2606:4700::200:5efe:808:808", public}, // the same, globally unique

		{"127.0.0.1", special},
		{"127.255.255.254", special},
		{"10.0.0.1", special},
		{"172.16.0.1", special},
		{"172.31.255.255", special},
		{"192.168.1.1", special},
		{"100.64.0.1", special},
		{"192.0.0.1", special},
		{"192.0.2.1", special},
		{"192.31.196.1", special},
		{"192.52.193.1", special},
		{"192.88.99.1", special},
		{"192.175.48.1", special},
		{"198.18.0.1", special},
		{"198.19.255.255", special},
		{"198.51.100.1", special},
		{"203.0.113.1", special},
		{"240.0.0.1", special},
		{"::1", special},
		{"fc00::1", special},
		{"fd12:3456::1", special},
		{"fe80::1", special},
		{"fec0::1", special},
		{"100::1", special},
		{"100:0:0:1::1", special},
		{"2001::1", never}, // Teredo, whose client part reads 255.255.255.254
		{"2001:2::1", special},
		{"2001:20::1", special},
		{"2001:db8::1", special},
		{"3fff::1", special},
		{"5f00::1", special},
		{"2620:4f:8000::1", special},
		{"4000::1", special},
		{"::ffff:10.0.0.1", special},
		{"::ffff:127.0.0.1", special},
		{"::127.0.0.1", special},
		{"::ffff:0:10.0.0.1", special}, // SIIT
		{"64:ff9b::10.0.0.1", special},
		{"64:ff9b::127.0.0.1", special},
		{"64:ff9b:1::10.0.0.1", special},
		{"64:ff9b:1:a00:0:100::", special}, // /48 form of 10.0.0.1
		{"2002:a00:1::1", special},
		{"2002:7f00:1::1", special},
		{"2001:0:808:808:0:0:f5ff:fffe", special}, // Teredo of 10.0.0.1
		{"2606:4700::5efe:a00:1", special},
		{"fe80::5efe:10.0.0.1", special},

		{"0.0.0.0", never},
		{"0.1.2.3", never},
		{"224.0.0.1", never},
		{"239.255.255.255", never},
		{"255.255.255.255", never},
		{"169.254.1.1", never},
		{"169.254.169.254", never},
		{"169.254.170.2", never},
		{"168.63.129.16", never},
		{"100.100.100.200", never},
		{"192.0.0.192", never},
		{"::", never},
		{"ff02::1", never},
		{"fd00:ec2::254", never},
		{"fd20:ce::254", never},
		{"fd00:42::42", never},
		{"fe80::a9fe:a9fe", never},
		{"::ffff:169.254.169.254", never},
		{"::169.254.169.254", never},
		{"::ffff:0:169.254.169.254", never},
		{"64:ff9b::169.254.169.254", never},
		{"64:ff9b::168.63.129.16", never},
		{"64:ff9b:1::169.254.169.254", never},
		{"64:ff9b:1:a9fe:a9:fe00::", never}, // /48 form
		{"2002:a9fe:a9fe::1", never},
		{"2001:0:a9fe:a9fe::1", never},
		{"2001:0:808:808:0:0:5601:5601", never}, // Teredo of 169.254.169.254
		{"2606:4700::5efe:a9fe:a9fe", never},
		{"fe80::1%lo", never},
		{"::1%lo", never},
	}
	closed, open := new(Guard), new(Guard)
	open.Set(Rules{Private: everything})
	for _, tt := range tests {
		addr := netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 443)
		got := public
		if err := closed.Allow(addr); err != nil {
			got = special
			var r *Refused
			if !errors.As(err, &r) || r.Why == "" || r.Addr != addr.Addr() {
				t.Errorf("%s: %#v", tt.addr, err)
			}
		}
		if open.Allow(addr) != nil {
			got = never
		}
		if got != tt.want {
			t.Errorf("%s is %s, want %s", tt.addr, got, tt.want)
		}
	}
	if len(tests) < 41+15 {
		t.Errorf("only %d rows", len(tests))
	}
}

func TestC12EmbeddedIsCheckedAgain(t *testing.T) {
	g := new(Guard)
	g.Set(Rules{Private: []netip.Prefix{netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("64:ff9b:1::/48")}})
	for addr, want := range map[string]bool{
		"2002:808:808::1":     true, // 6to4 of a public address
		"2002:a00:1::1":       false,
		"64:ff9b:1::8.8.8.8":  true,
		"64:ff9b:1::10.0.0.1": false,
	} {
		if err := g.Allow(netip.AddrPortFrom(netip.MustParseAddr(addr), 443)); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// counter listens on a loopback address and counts connections.
func counter(t *testing.T, addr string) (port string, n func() int64) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{}}
	seen := make(chan struct{}, 100)
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			seen <- struct{}{}
		}
	}
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "reached") })
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, func() int64 { return int64(len(seen)) }
}

// answers is a resolver that gives one list after the other, the last one for
// ever.
func answers(lists ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) (list []netip.Addr, _ error) {
		for s := range strings.FieldsSeq(lists[0]) {
			list = append(list, netip.MustParseAddr(s))
		}
		if len(lists) > 1 {
			lists = lists[1:]
		}
		return list, nil
	}
}

// TestC11EveryAnswer takes 127.0.0.1 for public and 127.0.0.2 for private.
func TestC11EveryAnswer(t *testing.T) {
	port, reached := counter(t, "127.0.0.1:0")
	for _, list := range []string{"127.0.0.1 127.0.0.2", "127.0.0.2 127.0.0.1", "127.0.0.1 ::ffff:127.0.0.2", "127.0.0.1 ::1", "127.0.0.1 169.254.169.254"} {
		g := &Guard{Resolve: answers(list)}
		g.Set(Rules{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
		_, x, err := get(t, start(t, Options{Guard: g}), "http://api.example.com:"+port)
		var denial *policy.Denial
		var refused *Refused
		if !errors.As(err, &denial) || denial.Code != policy.NotAllowed || !errors.As(err, &refused) || denial.Hint == "" {
			t.Errorf("%s: %v", list, err)
		}
		if x.Now.Executed() != policy.No || x.Now.Err == nil {
			t.Errorf("%s: %+v", list, x.Now)
		}
	}
	if reached() != 0 {
		t.Errorf("%d connections", reached())
	}
}

// TestC11AtConnect shows that the socket itself is guarded, not only the list
// of answers.
func TestC11AtConnect(t *testing.T) {
	port, reached := counter(t, "127.0.0.1:0")
	_, err := new(Guard).dialer("x", false).DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	var refused *Refused
	if !errors.As(err, &refused) || reached() != 0 {
		t.Errorf("%v, %d connections", err, reached())
	}
}

func TestC13Rebinding(t *testing.T) {
	port, private := counter(t, "127.0.0.2:0")
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Skip("port taken")
	}
	public := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })}
	go public.Serve(l)
	defer public.Close()
	g := &Guard{Resolve: answers("127.0.0.1", "127.0.0.2")}
	g.Set(Rules{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	tr := start(t, Options{Guard: g})
	if _, _, err := get(t, tr, "http://api.example.com:"+port); err != nil {
		t.Fatal(err)
	}
	_, _, err = get(t, tr, "http://api.example.com:"+port)
	if refused := (*Refused)(nil); !errors.As(err, &refused) || private() != 0 {
		t.Errorf("%v, %d connections to the private address", err, private())
	}
}

// TestC14OddSpellings uses a resolver that, like some C libraries, reads
// everything as an address.
func TestC14OddSpellings(t *testing.T) {
	port, reached := counter(t, "127.0.0.1:0")
	for _, host := range []string{
		"127.1", "0x7f.1", "2130706433", "017700000001", "0177.0.0.1", "127.0.0.1.", "localhost", "LOCALHOST",
		"127.0.0.1.nip.io", "１２７.0.0.1", "[::1%25lo]", "[::ffff:127.0.0.1]", "[::1]", "0", "[::]",
	} {
		for name, resolve := range map[string]func(context.Context, string) ([]netip.Addr, error){"lenient": answers("127.0.0.1"), "system": nil} {
			tr := start(t, Options{Guard: &Guard{Resolve: resolve}, ConnectTimeout: 2 * time.Second})
			u := &url.URL{Scheme: "http", Path: "/", Host: host + ":" + port}
			x := policy.Exchange{Body: policy.NewBody(nil, 0, 0), Plan: &policy.Plan{}}
			req := (&http.Request{Method: "GET", URL: u, Host: "x", Header: http.Header{}}).WithContext(policy.With(t.Context(), &x))
			if resp, err := tr.RoundTrip(req); err == nil {
				resp.Body.Close()
				t.Errorf("%s reached something with a %s resolver", host, name)
			}
		}
	}
	if reached() != 0 {
		t.Errorf("%d connections", reached())
	}
}

func TestC15SelfConnection(t *testing.T) {
	var own string // a non-loopback address of this machine, if it has one
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if ip := a.(*net.IPNet).IP; !ip.IsLoopback() && ip.To4() != nil {
			own = ip.String()
		}
	}
	tests := []struct {
		listens, dialled string
		want             bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", false},
		{"127.0.0.1:8080", "[::ffff:127.0.0.1]:8080", false},
		{"127.0.0.1:8080", "127.0.0.1:8081", true},
		{"127.0.0.1:8080", "127.0.0.2:8080", true},
		{"0.0.0.0:8080", "127.0.0.9:8080", false},
		{"0.0.0.0:8080", "[::1]:8080", false},
		{"[::]:8080", "127.0.0.1:8080", false},
		{"[::]:8080", "[::1]:8080", false},
		{"[::]:8080", "10.99.99.99:8080", true},
		{"[::]:8080", "8.8.8.8:8080", true},
		{"[::]:8080", own + ":8080", false},
	}
	for _, tt := range tests {
		if strings.HasPrefix(tt.dialled, ":") {
			t.Log("this machine has only loopback addresses")
			continue
		}
		g := new(Guard)
		g.Set(Rules{Private: everything, Self: []netip.AddrPort{netip.MustParseAddrPort(tt.listens)}})
		if err := g.check(tt.dialled, netip.MustParseAddrPort(tt.dialled), true); (err == nil) != tt.want {
			t.Errorf("listening on %s, dialling %s: %v", tt.listens, tt.dialled, err)
		}
	}
	port, reached := counter(t, "127.0.0.1:0")
	g := new(Guard)
	g.Set(Rules{Private: everything, Self: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:" + port)}})
	u, _ := url.Parse("http://127.0.0.1:" + port)
	for _, plan := range []*policy.Plan{{}, {Upstream: u}} {
		_, _, err := call{url: u.String(), x: policy.Exchange{Plan: plan}}.do(t.Context(), start(t, Options{Guard: g}))
		if refused := (*Refused)(nil); !errors.As(err, &refused) || reached() != 0 {
			t.Errorf("%v, %d connections", err, reached())
		}
	}
}

// TestC16OwnFetches is about what we dial ourselves: exactly what the policy
// names may be private.
func TestC16OwnFetches(t *testing.T) {
	port, _ := counter(t, "127.0.0.1:0")
	other, reached := counter(t, "127.0.0.1:0")
	g := &Guard{Resolve: answers("127.0.0.1")}
	dial := g.DialerFor("127.0.0.1:"+port, "app:"+port)
	for addr, want := range map[string]bool{
		"127.0.0.1:" + port: true, "app:" + port: true, "other:" + port: false, "127.0.0.2:" + port: false,
		"app:" + other: false, "127.0.0.1:" + other: false,
	} {
		c, err := dial(t.Context(), "tcp", addr)
		if (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
		if c != nil {
			c.Close()
		}
		if c, err := g.DialContext(t.Context(), "tcp", addr); err == nil {
			c.Close()
			t.Errorf("%s is let through without being named", addr)
		}
	}
	if reached() != 0 {
		t.Errorf("%d connections", reached())
	}
	g.Resolve = answers("169.254.169.254")
	if _, err := dial(t.Context(), "tcp", "app:"+port); err == nil {
		t.Error("a name of the policy led to the metadata service")
	}
}

// TestC16Upstream: the address a policy puts in place of the host is let
// through for that plan, and for no other.
func TestC16Upstream(t *testing.T) {
	port, reached := counter(t, "127.0.0.1:0")
	tr := start(t, Options{Guard: new(Guard)})
	u := &url.URL{Scheme: "http", Host: "127.0.0.1:" + port}
	resp, _, err := call{url: "https://api.example.com/", x: policy.Exchange{Plan: &policy.Plan{Upstream: u}}}.do(t.Context(), tr)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	before := reached()
	if _, _, err := get(t, tr, u.String()); err == nil || reached() != before {
		t.Error("another plan reached it")
	}
}

func TestC17EnvironmentIsIgnored(t *testing.T) {
	proxy, proxied := counter(t, "127.0.0.1:0")
	port, _ := counter(t, "127.0.0.1:0")
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, "http://127.0.0.1:"+proxy)
	}
	t.Setenv("NO_PROXY", "")
	g := loopback()
	g.Resolve = answers("127.0.0.1")
	if got, _, err := get(t, start(t, Options{Guard: g}), "http://api.example.com:"+port); got != "reached" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if proxied() != 0 {
		t.Error("the proxy of the environment was used")
	}
}

func TestF26Resolver(t *testing.T) {
	port, _ := counter(t, "127.0.0.1:0")
	many := make([]string, 500)
	for i := range many {
		many[i] = fmt.Sprintf("127.0.%d.%d", i/250, i%250+1)
	}
	stuck := func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	fail := func(e *net.DNSError) func(context.Context, string) ([]netip.Addr, error) {
		return func(context.Context, string) ([]netip.Addr, error) { return nil, e }
	}
	tests := []struct {
		name    string
		resolve func(context.Context, string) ([]netip.Addr, error)
		ok      bool
		timeout bool
	}{
		{"NXDOMAIN", fail(&net.DNSError{Err: "no such host", IsNotFound: true}), false, false},
		{"SERVFAIL", fail(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), false, false},
		{"no answer", answers(""), false, false},
		{"stuck", stuck, false, true},
		{"500 answers", answers(strings.Join(many, " ")), true, false},
		{"both families, one listens", answers("::1 127.0.0.1"), true, false},
		{"the first does not listen", answers("127.0.0.9 127.0.0.1"), true, false},
		{"none listens", answers("127.0.0.9 ::1"), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := loopback()
			g.Resolve = tt.resolve
			_, x, err := call{url: "http://api.example.com:" + port, x: policy.Exchange{Connect: 300 * time.Millisecond}}.do(t.Context(), start(t, Options{Guard: g}))
			if tt.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Op != OpDial || e.Timeout != tt.timeout || x.Now.Executed() != policy.No {
				t.Errorf("%v %+v", err, x.Now)
			}
		})
	}
}
