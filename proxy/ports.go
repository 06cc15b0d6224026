package proxy

import (
	"errors"
	"fmt"
	"net"

	"github.com/postern-proxy/postern/policy"
)

// openPorts opens the ports that providers have of their own and are not open
// yet, and closes those that no provider has any more. Called with mu held.
func (s *Server) openPorts(ports map[string]string, config *Config) error {
	opened := map[string]net.Listener{}
	for address, provider := range ports {
		if s.ports[address] != nil {
			continue
		}
		l, err := net.Listener(nil), safeListen(address, config.Clients)
		if err == nil {
			l, err = s.bind(provider, address, &entry{way: viaPort, port: address})
		}
		if err != nil {
			return errors.Join(fmt.Errorf("listen for provider %q: %w", provider, err), closeAll(opened))
		}
		opened[address] = l
	}
	for address, l := range s.ports {
		if ports[address] == "" {
			delete(s.ports, address)
			l.Close()
		}
	}
	for address, l := range opened {
		s.ports[address] = l
		if s.served {
			s.start(l)
		}
	}
	return nil
}

// portsOf lists the providers that have a port of their own, by address.
func portsOf(set *policy.Set) map[string]string {
	ports := map[string]string{}
	for _, name := range set.Providers() {
		if address := set.Provider(name).Listen; address != "" {
			ports[address] = name
		}
	}
	return ports
}

func closeAll(ls map[string]net.Listener) error {
	var err error
	for _, l := range ls {
		err = errors.Join(err, l.Close())
	}
	return err
}

// retired reports whether a reload closed l.
func (s *Server) retired(l net.Listener) bool {
	e, ok := l.(*entrance)
	if !ok || e.entry.way != viaPort {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ports[e.entry.port] != l
}

// Port returns where the own port of a provider listens, whose configured
// address is given; nil if it is not open.
func (s *Server) Port(address string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.ports[address]; l != nil {
		return l.Addr()
	}
	return nil
}
