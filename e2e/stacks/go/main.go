// stack-go is a client and a server of Go's crypto/tls, as GoQuorum uses it: what a CA rollover must not disturb.
//
//	stack-go client --address HOST:PORT --name DNSNAME --ca FILE --cert FILE --key FILE --count N --every MS [--roots once|each]
//	stack-go server --listen HOST:PORT --ca FILE --cert FILE --key FILE
//
// The client makes N handshakes, one every MS milliseconds, until SIGTERM if N is 0: each on a new connection, without
// resumption and without a retry. A handshake counts as served when the answer to GET /upcheck came: in TLS 1.3 a server
// refuses a client after the client's own handshake is done. Each failure is a line on standard error; the last line, on
// standard output, is {"handshakes":H,"failed":F}. Exit code: 0 if nothing failed, 1 if something failed, 2 wrong usage.
//
// The server requires a client certificate, prints 'listening PORT', answers each request with 200, and ends on SIGTERM or
// the end of standard input. Each refused connection is a line on standard error.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

// A handshake with its request and its answer takes milliseconds.
const patience = 10 * time.Second

// files are what a Secret of type kubernetes.io/tls mounts.
type files struct{ ca, certificate, key string }

func (f *files) register(flags *flag.FlagSet) {
	flags.StringVar(&f.ca, "ca", "", "roots, in PEM")
	flags.StringVar(&f.certificate, "cert", "", "certificate chain in PEM, the leaf first")
	flags.StringVar(&f.key, "key", "", "private key, PKCS#8 in PEM")
}

func (f *files) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", f.ca)
	}
	return pool, nil
}

// pair reads the certificate before and after its key: a kubelet exchanges both files between two reads.
func (f *files) pair() (*tls.Certificate, error) {
	for range 3 {
		before, err := os.ReadFile(f.certificate)
		if err != nil {
			return nil, err
		}
		key, err := os.ReadFile(f.key)
		if err != nil {
			return nil, err
		}
		after, err := os.ReadFile(f.certificate)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(before, after) {
			pair, err := tls.X509KeyPair(before, key)
			return &pair, err
		}
	}
	return nil, errors.New(f.certificate + " changes faster than it can be read")
}

// complain writes one line to standard error.
func complain(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s %s: %v\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), what, err)
}

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "client":
		os.Exit(client(os.Args[2:]))
	case "server":
		os.Exit(server(os.Args[2:]))
	}
	fmt.Fprintln(os.Stderr, "usage: stack-go client|server --help")
	os.Exit(2)
}
