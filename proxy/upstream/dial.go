package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

const (
	fallbackDelay = 300 * time.Millisecond // RFC 8305 §5 and 8 advise 250 ms
	leastPatience = 2 * time.Second        // for one of several addresses
	mostAddresses = 16                     // of a name that are tried
)

// dial resolves addr, has every answer checked, and connects to the first that
// takes the connection, both families side by side.
func (g *Guard) dial(ctx context.Context, network, addr string, named bool) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, errors.New("the port is not between 1 and 65535")
	}
	ips, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var same, other []netip.AddrPort // by family of the first answer
	for _, ip := range ips {
		ap := netip.AddrPortFrom(ip.Unmap(), uint16(n))
		if err := g.check(addr, ap, named); err != nil {
			return nil, err
		}
		if ap.Addr().Is4() == ips[0].Unmap().Is4() {
			same = append(same, ap)
		} else {
			other = append(other, ap)
		}
	}
	return race(ctx, g.dialer(addr, named), network, same[:min(len(same), mostAddresses)], other[:min(len(other), mostAddresses)])
}

// dialer connects to addresses of host, each checked again in the moment that
// the socket is about to connect.
func (g *Guard) dialer(host string, named bool) *net.Dialer {
	return &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return g.check(host, to, named)
	}}
}

// dialled is the outcome of one list of addresses.
type dialled struct {
	conn net.Conn
	err  error
}

// race tries the first list, and after a while, or once that has failed, the
// second as well.
func race(ctx context.Context, d *net.Dialer, network string, first, second []netip.AddrPort) (net.Conn, error) {
	if len(second) == 0 {
		return inTurn(ctx, d, network, first)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results, over := make(chan dialled), make(chan struct{})
	defer close(over)
	try := func(list []netip.AddrPort) {
		c, err := inTurn(ctx, d, network, list)
		select {
		case results <- dialled{c, err}:
		case <-over:
			if c != nil {
				c.Close() // lost the race
			}
		}
	}
	go try(first)
	var r dialled
	wait := time.NewTimer(fallbackDelay)
	defer wait.Stop()
	select {
	case r = <-results:
		if r.err == nil {
			return r.conn, nil
		}
		go try(second)
		if last := <-results; last.err == nil {
			return last.conn, nil
		}
		return nil, r.err
	case <-wait.C:
	}
	go try(second)
	if r = <-results; r.err == nil {
		return r.conn, nil
	}
	if last := <-results; last.err == nil {
		return last.conn, nil
	}
	return nil, r.err
}

// inTurn tries addresses one after the other and gives each a fair share of
// the time there is. It returns the first error if none takes the connection.
func inTurn(ctx context.Context, d *net.Dialer, network string, list []netip.AddrPort) (net.Conn, error) {
	var failed error
	for i, addr := range list {
		c, err := one(ctx, d, network, addr, len(list)-i)
		if err == nil {
			return c, nil
		}
		if failed == nil {
			failed = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

func one(ctx context.Context, d *net.Dialer, network string, addr netip.AddrPort, left int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok && left > 1 {
		share := max(time.Until(end)/time.Duration(left), leastPatience)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	return d.DialContext(ctx, network, addr.String())
}
