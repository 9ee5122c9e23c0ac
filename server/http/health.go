package http

import (
	"fmt"
	"net/http"
)

// health adds the probes, which ask for no password: what a kubelet is told
// to send is in every pod's specification.
func (s *Server) health(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
}

// livez never depends on other nodes: a restart would mend nothing there.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	if err := s.cfg.Node.Err(); err != nil {
		writeProbe(w, http.StatusServiceUnavailable, "stopped: "+err.Error())
		return
	}
	writeProbe(w, http.StatusOK, "ok")
}

// readyz says that a lost quorum is lost, and stays at 200: were it 503, every
// pod would leave its Service and the application with it.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.cfg.Node.Ready(); err != nil {
		writeProbe(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	if note := s.cfg.Node.Note(); note != "" {
		writeProbe(w, http.StatusOK, "ready, but "+note)
		return
	}
	writeProbe(w, http.StatusOK, "ready")
}

func writeProbe(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // the probe has gone where this fails
}
