package e2e

import (
	"sync"
	"testing"

	"github.com/postern-proxy/postern/e2e/faults"
	"github.com/postern-proxy/postern/e2e/stripemock"
)

// mock is Stripe's own stripe-mock, one for the whole run. It ends with the test process.
var mock = sync.OnceValues(stripemock.Start)

// stripeBackend passes what reaches it to stripe-mock.
func stripeBackend(t testing.TB) faults.Config {
	t.Helper()
	mk, err := mock()
	if err != nil {
		t.Fatalf("the provider: %v", err)
	}
	backend, err := faults.Proxy(mk.URL)
	if err != nil {
		t.Fatal(err)
	}
	return faults.Config{Backend: backend}
}

// upstream starts a server that ends with the test.
func upstream(t testing.TB, cfg faults.Config) *faults.Server {
	t.Helper()
	s, err := faults.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// authority makes a CA that ends with the test.
func authority(t testing.TB) *faults.CA {
	t.Helper()
	ca, err := faults.NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}
