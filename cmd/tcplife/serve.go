package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"tcplife/report/metrics"
)

// A server answers the HTTP requests that watch a live capture.
type server struct {
	*metrics.Metrics
	http  http.Server
	alive atomic.Int64 // when the capture was last looked after: nanoseconds since 1970
}

// stalledAfter is how long a capture may go without being looked after, and still
// count as healthy: with very many connections that takes a while.
const stalledAfter = time.Minute

// serve begins to answer at an address. Without a host it is the loopback
// interface's.
func serve(address string, fail func(string)) (*server, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--metrics %s: want [HOST]:PORT, such as :9273", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("--metrics %s: %w", address, err)
	}
	s := &server{Metrics: metrics.New(version())}
	s.looked()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.Handler())
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "tcplife live: /metrics for Prometheus, /healthz for whoever restarts it")
	})
	s.http = http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	go func() {
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			fail("--metrics: " + err.Error())
		}
	}()
	return s, nil
}

// looked notes that the capture is looked after.
func (s *server) looked() { s.alive.Store(time.Now().UnixNano()) }

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	if d := time.Since(time.Unix(0, s.alive.Load())); d > stalledAfter {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, "stalled for %v\n", d.Round(time.Second))
		return
	}
	_, _ = io.WriteString(w, "ok\n") // the client is gone otherwise
}

func (s *server) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return s.http.Shutdown(ctx)
}
