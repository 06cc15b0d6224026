package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// checkWithin is how long all checks of readiness may take together.
const checkWithin = 3 * time.Second

// livez says that the process answers.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") }

// readyz says whether the process should get traffic; with ?verbose, why not.
// The reasons are for those who have the token.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ready, states := s.check(r.Context())
	s.tell(w, r, ready, states, "ready", "not ready")
}

// startupz says whether it was ever ready.
func (s *Server) startupz(w http.ResponseWriter, r *http.Request) {
	if s.started.Load() {
		plain(w, http.StatusOK, "started\n")
		return
	}
	ready, states := s.check(r.Context())
	s.tell(w, r, ready, states, "started", "starting")
}

func (s *Server) tell(w http.ResponseWriter, r *http.Request, ready bool, states []CheckState, yes, no string) {
	status, word := http.StatusOK, yes
	if !ready {
		status, word = http.StatusServiceUnavailable, no
	}
	var b strings.Builder
	if r.URL.Query().Has("verbose") {
		trusted := s.config.Load().admit(r) == nil
		for _, c := range states {
			switch {
			case c.OK:
				fmt.Fprintf(&b, "[+] %s\n", c.Name)
			case trusted:
				fmt.Fprintf(&b, "[%s] %s: %s\n", c.sign(), c.Name, c.Error)
			default:
				fmt.Fprintf(&b, "[%s] %s\n", c.sign(), c.Name)
			}
		}
	}
	plain(w, status, b.String()+word+"\n")
}

// check runs every check.
func (s *Server) check(ctx context.Context) (ready bool, states []CheckState) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	ready = true
	for _, c := range s.opt.Checks {
		state := CheckState{Name: c.Name, OK: true, Informs: c.Informs}
		if err := c.Run(ctx); err != nil {
			ready = ready && c.Informs
			state.OK, state.Error = false, err.Error()
		}
		states = append(states, state)
	}
	if ready {
		s.started.Store(true)
	}
	if s.draining.Load() {
		ready, states = false, append(states, CheckState{Name: "shutdown", Error: "the process is about to end"})
	}
	return ready, states
}

// sign is how a check that failed is marked.
func (c CheckState) sign() string {
	if c.Informs {
		return "!"
	}
	return "-"
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) { s.opt.Metrics.ServeHTTP(w, r) }

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}
