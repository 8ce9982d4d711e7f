package tcplifetest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"tcplife/tcplifetest"
)

// A test of a server: it talks to it, and then looks at how.
func TestServer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hello")
	}))
	defer server.Close()
	port := netip.MustParseAddrPort(server.Listener.Addr().String()).Port()
	rec := tcplifetest.Record(t, "lo", tcplifetest.Port(port))

	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	server.Client().CloseIdleConnections()

	rec.Check(`
version: 1
limits:
  handshake_time: {max: 1s}
  resets: 0
  open_at_end: 0
expect:
  - {where: {host: 127.0.0.1}}
`)
}
