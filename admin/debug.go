package admin

import (
	"net/http"
	"net/http/pprof"
)

// debug serves the profiler. The guard has seen to it that it is wanted and that
// the token was there.
func (s *Server) debug(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("name") {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r)
	}
}
