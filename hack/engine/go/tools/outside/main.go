// outside stands for the world beyond the cluster: it answers every TCP connection on the ports it is given.
//
// Tests aim their "must not reach" probes at it, so that a broken NetworkPolicy makes a probe really succeed, and no
// packet ever leaves the machine. Each connection is one line of JSON on standard output: who, to which address.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

type connection struct {
	Time time.Time `json:"time"`
	From string    `json:"from"`
	To   string    `json:"to"`
}

// noting writes down a connection when it is accepted, before a byte of it is read: a client that speaks TLS or nothing
// at all has got out as well.
type noting struct {
	net.Listener
	mu  *sync.Mutex
	out *json.Encoder
}

func (l noting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.out.Encode(connection{time.Now().UTC(), c.RemoteAddr().String(), c.LocalAddr().String()}); err != nil {
		log.Print(err)
	}
	return c, nil
}

func main() {
	ports := flag.String("ports", "80,443", "ports to answer on, separated by commas")
	flag.Parse()
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(answer)}
	mu, out, failed := &sync.Mutex{}, json.NewEncoder(os.Stdout), make(chan error)
	for port := range strings.SplitSeq(*ports, ",") {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			log.Fatal(err)
		}
		go func() { failed <- server.Serve(noting{listener, mu, out}) }()
	}
	log.Fatal(<-failed)
}

func answer(w http.ResponseWriter, r *http.Request) {
	to, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte("outside " + to.String() + "\n"))
}
