package breaker

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/postern-proxy/postern/policy"
)

// answer is the body of an answer that counted as a success when its headers
// came. If it breaks off, it was none.
type answer struct {
	io.ReadCloser
	block    *Block
	circuit  *circuit
	provider string
	x        *policy.Exchange
	r        *http.Request
	over     atomic.Bool // closed by us, or counted
}

// watch has an answer that breaks off counted. A tunnel is no answer.
func (b *Block) watch(c *circuit, provider string, x *policy.Exchange, resp *http.Response) {
	if resp.Body == nil || resp.Body == http.NoBody || resp.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	resp.Body = &answer{ReadCloser: resp.Body, block: b, circuit: c, provider: provider, x: x, r: x.Request}
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		a.broke(err)
	}
	return n, err
}

// Close ends the answer, whatever of it is still to come.
func (a *answer) Close() error {
	a.over.Store(true)
	return a.ReadCloser.Close()
}

// broke counts, unless the application left or broke off its own body.
func (a *answer) broke(err error) {
	if a.r.Context().Err() != nil || errors.Is(err, policy.ErrRequestBody) || !a.over.CompareAndSwap(false, true) {
		return
	}
	if a.circuit.broken(a.block, time.Now()) {
		a.x.Note("breaker", "circuit", "opened")
		a.block.changed(a.provider, a.x.Endpoint, true)
	}
}
